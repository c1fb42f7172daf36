"""Reads weights saved by PyTorch, without PyTorch and without executing them.

Such a file contains a pickle: a program that can call anything that Python can
import. Here it is interpreted by a small machine that supports only the
instructions needed for tensors. Names in the file are compared with a list and
never imported.

Both formats of `torch.save` are supported: a zip archive with the pickle and
one entry per storage (since PyTorch 1.6), and the pickle followed by the
storages (before). Sizes, offsets and strides are checked.
"""

from collections.abc import Callable, Mapping
import dataclasses
import io
import math
import pathlib
import pickletools
from typing import Any, NamedTuple
import warnings
import zipfile

import jax.numpy as jnp
import numpy as np

# Storage class of `torch` -> dtype.
_DTYPES = {
  'FloatStorage': np.float32,
  'DoubleStorage': np.float64,
  'HalfStorage': np.float16,
  'BFloat16Storage': jnp.bfloat16,
  'LongStorage': np.int64,
  'IntStorage': np.int32,
  'ShortStorage': np.int16,
  'CharStorage': np.int8,
  'ByteStorage': np.uint8,
  'BoolStorage': np.bool_,
}
# The first two values of the older format.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DATA = '/data.pkl'
# `torch.nn.DataParallel` adds this prefix to names.
_WRAPPED = 'module.'


class _Name(NamedTuple):
  """Module and name of an object that the pickle refers to; never imported."""

  module: str
  name: str


class _Storage(NamedTuple):
  key: str
  dtype: np.dtype
  count: int


class _Tensor(NamedTuple):
  """A view of a storage; offset and strides in elements."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the tensors of a state_dict, or of the only one in a checkpoint.

  Args:
    path: of a .pth or .pt file.

  Returns:
    Name -> array in PyTorch's layout, without the prefix 'module.' of
    `torch.nn.DataParallel`.

  Raises:
    ValueError: the file has other content, or is damaged or truncated.
    OSError: the file cannot be read.

  >>> import tempfile
  >>> path = pathlib.Path(tempfile.mkdtemp(), 'weights.pth')
  >>> _ = path.write_bytes(b'no tensors')
  >>> read(path)
  Traceback (most recent call last):
  ValueError: at position 0, opcode b'n' unknown
  """
  try:
    of_form = _of_archive if zipfile.is_zipfile(path) else _of_stream
    tensors, raw_of = of_form(path)
    found = {
      name: _array(tensor, raw_of(tensor.storage))
      for name, tensor in tensors.items()
    }
  except (
    AttributeError, EOFError, LookupError, NotImplementedError, RuntimeError,
    TypeError, zipfile.BadZipFile,
  ) as error:  # fmt: skip
    raise ValueError(f'no file of torch.save, or damaged: {error}') from error
  if all(name.startswith(_WRAPPED) for name in found):
    found = {name.removeprefix(_WRAPPED): a for name, a in found.items()}
  return found


_Read = tuple[dict[str, _Tensor], Callable[[_Storage], bytes]]


def _of_archive(path: pathlib.Path) -> _Read:
  with zipfile.ZipFile(path) as archive:
    entries = {info.filename: info for info in archive.infolist()}
    [name] = [name for name in entries if name.endswith(_DATA)]
    folder = name.removesuffix(_DATA)
    if f'{folder}/byteorder' in entries:
      order = archive.read(f'{folder}/byteorder')
      if order != b'little':
        raise ValueError(f'its byte order is {order!r}, expected little')
    program = io.BytesIO(archive.read(name))

  def raw_of(storage: _Storage) -> bytes:
    info = entries[f'{folder}/data/{storage.key}']
    # A compressed entry might unpack to any size.
    if info.compress_type != zipfile.ZIP_STORED:
      raise ValueError(f'its entry {info.filename!r} is compressed')
    with zipfile.ZipFile(path) as archive:
      return archive.read(info)

  return _tensors(_run(program)), raw_of


def _of_stream(path: pathlib.Path) -> _Read:
  # In memory, so that reading beyond the end allocates nothing.
  stream = io.BytesIO(path.read_bytes())
  if (_run(stream), _run(stream)) != (_MAGIC, _PROTOCOL):
    raise ValueError('it is not a file of torch.save')
  if _run(stream).get('little_endian') is not True:
    raise ValueError('its byte order is not little')
  storages: dict[str, _Storage] = {}
  tensors = _tensors(_run(stream, storages))
  raw = {}
  for key in _run(stream):
    count = int.from_bytes(stream.read(8), 'little')
    if count != storages[key].count:
      raise ValueError(f'its storage {key!r} is cut short')
    raw[key] = stream.read(count * storages[key].dtype.itemsize)
  return tensors, lambda storage: raw[storage.key]


def _tensors(content: Any) -> dict[str, _Tensor]:
  """The tensors of a state_dict, or of the only one in a checkpoint."""

  def tensors_of(value):
    values = value.items() if isinstance(value, dict) else ()
    return {str(k): v for k, v in values if isinstance(v, _Tensor)}

  if found := tensors_of(content):
    return found
  parts = content.items() if isinstance(content, dict) else ()
  entries = {key: found for key, part in parts if (found := tensors_of(part))}
  if len(entries) != 1:
    raise ValueError(
      f'expected one state_dict, found {len(entries)}:'
      f' {sorted(map(str, entries))}'
    )
  [found] = entries.values()
  return found


def _array(tensor: _Tensor, raw: bytes) -> np.ndarray:
  storage, offset, shape, strides = tensor
  numbers = (offset, *shape, *strides)
  if not all(type(n) is int and n >= 0 for n in numbers):
    raise ValueError(f'a tensor of {shape}, {strides} from {offset}')
  values = np.frombuffer(raw, storage.dtype)
  if len(values) != storage.count:
    raise ValueError(f'its storage {storage.key!r} is cut short')
  size = math.prod(shape)
  last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
  # With repeated elements, a small file could fill the memory.
  if size > len(values) or (size and last >= len(values)):
    raise ValueError(f'a tensor {shape} of {len(values)} values from {offset}')
  if not size:
    return np.zeros(shape, storage.dtype)
  bytes_ = [stride * storage.dtype.itemsize for stride in strides]
  view = np.lib.stride_tricks.as_strided(values[offset:], shape, bytes_)
  return view.copy()


def _refuse(what: object) -> ValueError:
  name = '.'.join(what) if isinstance(what, _Name) else repr(what)
  return ValueError(
    f'loading it would call {name!r}, and it was not loaded. Expected only'
    ' tensors, as in torch.save(model.state_dict(), FILE)'
  )


def _ordered_dict() -> dict[Any, Any]:
  return {}


def _rebuild_tensor(storage, offset, shape, strides, *options) -> _Tensor:
  del options
  if not isinstance(storage, _Storage):
    raise ValueError('a tensor without a storage')
  return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor, *options) -> _Tensor:
  del options
  return tensor


# Functions that a file may call -> their replacement here.
_CALLS: Mapping[_Name, Callable[..., Any]] = {
  _Name('collections', 'OrderedDict'): _ordered_dict,
  _Name('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
  _Name('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
}


def _call(what: Any, arguments: Any) -> Any:
  if not isinstance(what, _Name) or what not in _CALLS:
    raise _refuse(what)
  return _CALLS[what](*arguments)


def _storage(identity: Any) -> _Storage:
  kind, class_, *rest = identity
  if kind != 'storage':
    # A complete module with its source code.
    raise _refuse(class_)
  key, _, count, *view = rest
  if class_.module != 'torch' or any(view):
    raise ValueError(f'a storage of {class_!r}, with views {view}')
  if class_.name not in _DTYPES or type(count) is not int:
    raise ValueError(f'a storage of {count!r} {class_.name!r}')
  return _Storage(str(key), np.dtype(_DTYPES[class_.name]), count)


# Instructions that push their argument.
_ARGUMENTS = {
  'BININT', 'BININT1', 'BININT2', 'LONG1', 'LONG4', 'BINFLOAT', 'BINUNICODE',
  'SHORT_BINUNICODE', 'BINUNICODE8',
}  # fmt: skip
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
  'NONE': lambda: None,
  'NEWTRUE': lambda: True,
  'NEWFALSE': lambda: False,
  'EMPTY_TUPLE': tuple,
  'EMPTY_LIST': list,
  'EMPTY_DICT': dict,
}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}


def _run(
  program: io.BytesIO, storages: dict[str, _Storage] | None = None
) -> Any:
  """Interprets one pickle and returns its value.

  Args:
    program: positioned at the pickle; afterwards at its end.
    storages: gets all storages that the pickle refers to, by key.
  """
  machine = _Machine(storages={} if storages is None else storages)
  with warnings.catch_warnings():
    # Python 3.12 also warns of damaged strings.
    warnings.simplefilter('ignore', DeprecationWarning)
    for instruction, argument, _ in pickletools.genops(program):
      if instruction.name == 'STOP':
        return machine.stack.pop()
      machine.follow(instruction.name, argument)
  raise EOFError('no end')


@dataclasses.dataclass
class _Machine:
  """A pickle's stack and memo, with values that have no behaviour."""

  storages: dict[str, _Storage]
  stack: list[Any] = dataclasses.field(default_factory=list)
  marks: list[int] = dataclasses.field(default_factory=list)
  memo: dict[int, Any] = dataclasses.field(default_factory=dict)

  def follow(self, name: str, argument: Any) -> None:
    """Executes one instruction."""
    stack = self.stack
    if name in _ARGUMENTS:
      stack.append(argument)
    elif name in _CONSTANTS:
      stack.append(_CONSTANTS[name]())
    elif name in _TUPLES:
      stack.append(tuple(self._taken(len(stack) - _TUPLES[name])))
    elif name in _FOLLOW:
      _FOLLOW[name](self, argument)
    elif name not in ('PROTO', 'FRAME'):
      raise _refuse(f'pickle instruction {name}')

  def _taken(self, start: int) -> list[Any]:
    """Pops the values from index `start` of the stack."""
    if start < 0:
      raise IndexError('an empty stack')
    taken = self.stack[start:]
    del self.stack[start:]
    return taken

  def mark(self, _: Any) -> None:
    self.marks.append(len(self.stack))

  def make_tuple(self, _: Any) -> None:
    self.stack.append(tuple(self._taken(self.marks.pop())))

  def keep(self, number: int | None) -> None:
    self.memo[len(self.memo) if number is None else number] = self.stack[-1]

  def get(self, number: int) -> None:
    self.stack.append(self.memo[number])

  def append(self, _: Any) -> None:
    self._extend(self._taken(len(self.stack) - 1))

  def appends(self, _: Any) -> None:
    self._extend(self._taken(self.marks.pop()))

  def set_item(self, _: Any) -> None:
    self._update(self._taken(len(self.stack) - 2))

  def set_items(self, _: Any) -> None:
    self._update(self._taken(self.marks.pop()))

  def _extend(self, values: list[Any]) -> None:
    if not isinstance(self.stack[-1], list):
      raise TypeError('no list')
    self.stack[-1].extend(values)

  def _update(self, values: list[Any]) -> None:
    keys = values[::2]
    # Hashing nested tuples may take forever.
    if not isinstance(self.stack[-1], dict) or not all(
      isinstance(key, str | int) for key in keys
    ):
      raise TypeError('no mapping of names')
    self.stack[-1].update(zip(keys, values[1::2], strict=True))

  def name(self, text: str) -> None:
    module, _, name = text.partition(' ')
    self.stack.append(_Name(module, name))

  def name_of_stack(self, _: Any) -> None:
    self.stack.append(_Name(*map(str, self._taken(len(self.stack) - 2))))

  def call(self, _: Any) -> None:
    self.stack.append(_call(*self._taken(len(self.stack) - 2)))

  def forget_attributes(self, _: Any) -> None:
    """Ignores attributes of an OrderedDict, which are versions of modules."""
    self._taken(len(self.stack) - 1)

  def refer(self, _: Any) -> None:
    storage = _storage(self.stack.pop())
    self.storages[storage.key] = storage
    self.stack.append(storage)


_FOLLOW: Mapping[str, Callable[[_Machine, Any], None]] = {
  'MARK': _Machine.mark,
  'TUPLE': _Machine.make_tuple,
  'BINPUT': _Machine.keep,
  'LONG_BINPUT': _Machine.keep,
  'MEMOIZE': _Machine.keep,
  'BINGET': _Machine.get,
  'LONG_BINGET': _Machine.get,
  'APPEND': _Machine.append,
  'APPENDS': _Machine.appends,
  'SETITEM': _Machine.set_item,
  'SETITEMS': _Machine.set_items,
  'GLOBAL': _Machine.name,
  'STACK_GLOBAL': _Machine.name_of_stack,
  'REDUCE': _Machine.call,
  'NEWOBJ': _Machine.call,
  'BUILD': _Machine.forget_attributes,
  'BINPERSID': _Machine.refer,
}
