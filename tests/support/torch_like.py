"""Files as `torch.save` writes them, made without PyTorch."""

import collections
import dataclasses
import io
import pickle
import sys
import types
import zipfile

import numpy as np

STORAGES = {
  'float32': 'FloatStorage', 'float64': 'DoubleStorage', 'int64': 'LongStorage',
  'float16': 'HalfStorage', 'bool': 'BoolStorage',
}  # fmt: skip


@dataclasses.dataclass
class Storage:
  key: str
  values: np.ndarray


def _rebuild_tensor_v2(*_):
  raise AssertionError('a file was executed')


_rebuild_tensor_v2.__module__ = 'torch._utils'


class View:
  """A tensor: a view of a storage, offset and strides in elements."""

  def __init__(self, storage, offset, shape, strides):
    self.parts = storage, offset, shape, strides

  def __reduce__(self):
    return _rebuild_tensor_v2, (*self.parts, False, collections.OrderedDict())


def tensor(key, array):
  array = np.ascontiguousarray(array)
  strides = tuple(n // array.itemsize for n in array.strides)
  return View(Storage(key, array.ravel()), 0, array.shape, strides)


class _Pickler(pickle.Pickler):
  def persistent_id(self, obj):
    if not isinstance(obj, Storage):
      return None
    name = STORAGES[obj.values.dtype.name]
    self.storages[obj.key] = obj
    kind = getattr(sys.modules['torch'], name)
    legacy = (None,) if self.legacy else ()
    return 'storage', kind, obj.key, 'cpu', len(obj.values), *legacy


def _pickled(content, legacy):
  stream = io.BytesIO()
  pickler = _Pickler(stream, 2)
  pickler.storages, pickler.legacy = {}, legacy
  pickler.dump(content)
  return stream.getvalue(), pickler.storages


def write(path, content, monkeypatch, legacy=False):
  """Writes what `content` holds, arrays as tensors."""
  torch = types.ModuleType('torch')
  for name in STORAGES.values():
    setattr(torch, name, type(name, (), {'__module__': 'torch'}))
  utils = types.ModuleType('torch._utils')
  utils._rebuild_tensor_v2 = _rebuild_tensor_v2
  with monkeypatch.context() as patch:
    patch.setitem(sys.modules, 'torch', torch)
    patch.setitem(sys.modules, 'torch._utils', utils)
    program, storages = _pickled(_tensors(content), legacy)
  if legacy:
    header = [0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}]
    parts = [pickle.dumps(one, 2) for one in header]
    parts += [program, pickle.dumps([*storages], 2)]
    for storage in storages.values():
      parts += [np.int64(len(storage.values)).tobytes(), storage.values]
    path.write_bytes(b''.join(map(bytes, parts)))
  else:
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('archive/data.pkl', program)
      archive.writestr('archive/byteorder', 'little')
      for key, storage in storages.items():
        archive.writestr(f'archive/data/{key}', storage.values.tobytes())
  return path


def _tensors(content):
  if isinstance(content, dict):
    made = collections.OrderedDict(
      (key, tensor(f'{id(value)}', value))
      if isinstance(value, np.ndarray)
      else (key, _tensors(value))
      for key, value in content.items()
    )
    # As modules do, which note their versions.
    made._metadata = {'': {'version': 1}}
    return made
  return content


def resnet18_shapes(widths=(64, 128, 256, 512)):
  """Name in torchvision's ResNet-18 -> shape."""
  shapes = {'conv1.weight': (widths[0], 3, 7, 7)}

  def norm(name, width):
    for entry in ('weight', 'bias', 'running_mean', 'running_var'):
      shapes[f'{name}.{entry}'] = (width,)
    shapes[f'{name}.num_batches_tracked'] = ()

  norm('bn1', widths[0])
  before = widths[0]
  for stage, width in enumerate(widths):
    for block in range(2):
      name = f'layer{stage + 1}.{block}'
      shapes[f'{name}.conv1.weight'] = (width, before, 3, 3)
      norm(f'{name}.bn1', width)
      shapes[f'{name}.conv2.weight'] = (width, width, 3, 3)
      norm(f'{name}.bn2', width)
      if before != width or (stage and not block):
        shapes[f'{name}.downsample.0.weight'] = (width, before, 1, 1)
        norm(f'{name}.downsample.1', width)
      before = width
  return shapes | {'fc.weight': (10, before), 'fc.bias': (10,)}


def resnet18(widths=(64, 128, 256, 512), seed=0):
  """Random entries of such a network; its features stay around one."""
  rng = np.random.default_rng(seed)
  entries = {}
  for name, shape in resnet18_shapes(widths).items():
    if len(shape) > 1:
      value = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
    else:
      value = rng.uniform(0.5, 1.5, shape)
    dtype = np.float32 if shape else np.int64
    entries[name] = np.asarray(value).astype(dtype)
  return entries


def slstt(complete, patch=8, tokens=5):
  """A small network in the names of SLSTT's code, with both aggregators.

  Not complete: a ViT of the library that it uses, with a head of 7 classes.
  """
  rng = np.random.default_rng(0)
  width, mlp = 12, 20
  shapes = {
    'class_token': (1, 1, width),
    'patch_embedding': (width, 3, patch, patch),
    'positional_embedding.pos_embedding': (1, tokens, width),
  }
  for block in range(2):
    own = f'transformer.blocks.{block}.'
    for layer in ('attn.proj_q', 'attn.proj_k', 'attn.proj_v', 'proj'):
      shapes[own + layer] = width, width
    shapes |= {own + 'norm1': (width,), own + 'norm2': (width,)}
    shapes |= {own + 'pwff.fc1': (mlp, width), own + 'pwff.fc2': (width, mlp)}
  shapes |= {'norm': (width,), 'fc': (7, width)}
  if complete:
    shapes = {f'vit.{name}': shape for name, shape in shapes.items()}
    shapes |= {'fc1': (6, 8), 'fc2': (7, 6)}
  entries = {}
  for name, shape in shapes.items():
    if 'token' in name or name.endswith('pos_embedding'):
      entries[name] = rng.normal(size=shape)
      continue
    entries[f'{name}.weight'] = rng.normal(size=shape)
    entries[f'{name}.bias'] = rng.normal(size=shape[:1])
  if complete:
    for layer, read in enumerate((width, 8)):
      for kind, features in (('ih', read), ('hh', 8)):
        entries[f'lstm.weight_{kind}_l{layer}'] = rng.normal(
          size=(32, features)
        )
        entries[f'lstm.bias_{kind}_l{layer}'] = rng.normal(size=32)
  return {name: array.astype(np.float32) for name, array in entries.items()}
