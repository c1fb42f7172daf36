"""What a program compiled for a TPU should cost, read from its text.

The compiler writes `estimated_cycles` into each instruction. They are good
for convolutions and matrix products, too high for what only moves bytes, and
missing for Pallas kernels and asynchronous copies. So a time is estimated as

    max(cycles / clock, bytes / bandwidth)   convolutions, matrix products
    bytes / bandwidth                        everything else

with the bytes that an instruction reads from and writes to main memory, tiles
padded as the compiler lays them out. These are estimates, not measurements.

Too low: what stays on the chip (values of memory space 1), such as
normalisation between two convolutions or the gradient of max pooling, counts
nothing unless it is fused with a product; nor does starting an instruction. The
raw cycles bound that from above, but leave out select-and-scatter,
reduce-window and gathers. Too high: a conditional counts its dearest branch.
"""

from collections.abc import Iterator
import dataclasses
import functools
import math
import re

_HEADER = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$')
_INSTRUCTION = re.compile(r'^\s+(ROOT )?%?([\w.\-]+) = (.*)$')
_ARRAY = re.compile(r'\b([a-z]\w*)\[([\d,]*)\](\{[^}]*\})?')
_SPACE = re.compile(r'S\((\d+)\)')
_TILE = re.compile(r'T\(([\d,]+)\)')
_CALLED = re.compile(r'\b(calls|body|condition|to_apply)=%?([\w.\-]+)')
_BRANCHES = re.compile(r'\bbranch_computations=\{([^}]*)\}')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_OPERAND = re.compile(r'%([\w.\-]+)')
# Reads only as much of its operand as it returns.
_SLICES = {'dynamic-slice', 'slice', 'gather'}
# Hands its operand on, within a fusion.
_PASSING = ('bitcast', 'copy', 'fusion', 'reshape')
# No memory is touched, or the touch is counted elsewhere.
_FREE = (
  'parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'iota',
  'after-all', 'partition-id', 'replica-id', 'optimization-barrier',
)  # fmt: skip
_BITS = {'pred': 8, 'token': 0, 'bf16': 16}


@dataclasses.dataclass(frozen=True)
class Chip:
  """What a time is computed from; published figures.

  Attributes:
    clock: cycles a second.
    bandwidth: bytes a second, main memory.
    peak: bfloat16 operations a second, a multiply-add as two.
  """

  clock: float
  bandwidth: float
  peak: float


@dataclasses.dataclass(frozen=True)
class Cost:
  """Sums over a program, loop bodies as often as they run.

  Attributes:
    cycles: the compiler's, all instructions.
    seconds: the estimate of the module's docstring, without asynchronous
      copies.
    bytes: main memory, without asynchronous copies.
    copied: bytes of asynchronous copies, main memory.
    kernels: how often a Pallas kernel runs; the compiler says nothing of them.
  """

  cycles: float = 0.0
  seconds: float = 0.0
  bytes: float = 0.0
  copied: float = 0.0
  kernels: float = 0.0

  def __add__(self, other: 'Cost') -> 'Cost':
    return Cost(*(a + b for a, b in zip(_values(self), _values(other))))

  def __mul__(self, times: float) -> 'Cost':
    return Cost(*(times * value for value in _values(self)))

  def raw_seconds(self, chip: Chip) -> float:
    """The compiler's cycles alone."""
    return self.cycles / chip.clock

  def hidden_seconds(self, chip: Chip) -> float:
    """All asynchronous copies overlap with work: the best case."""
    return max(self.seconds, (self.bytes + self.copied) / chip.bandwidth)

  def exposed_seconds(self, chip: Chip) -> float:
    """No asynchronous copy overlaps with work: the worst case."""
    return self.seconds + self.copied / chip.bandwidth


def _values(cost: Cost) -> tuple[float, ...]:
  return dataclasses.astuple(cost)


@dataclasses.dataclass(frozen=True)
class _Instruction:
  name: str
  type: str
  opcode: str
  arguments: str
  operands: tuple[str, ...]
  rest: str
  is_root: bool


def program_cost(text: str, chip: Chip) -> Cost:
  """The cost of a compiled program.

  Args:
    text: `compiled.as_text()`.
    chip: which to estimate for.

  Raises:
    ValueError: a loop's trip count is not a constant, or there is no ENTRY.
  """
  return _Program(text, chip).cost()


def array_bytes(type_: str) -> int:
  """Bytes of main memory that a type's arrays take, tiles padded.

  Args:
    type_: such as 'f32[2,224,3]{1,0,2:T(8,128)S(1)}', or a tuple of such.
      A memory space S(n) other than 0 is on the chip and counts nothing.
  """
  return sum(_one_array(*match.groups()) for match in _ARRAY.finditer(type_))


def _one_array(dtype: str, shape: str, layout: str | None) -> int:
  layout = layout or ''
  space = _SPACE.search(layout)
  if space and space.group(1) != '0':
    return 0
  sizes = [int(size) for size in shape.split(',') if size]
  order = re.match(r'\{([\d,]+)', layout)
  if order:
    minor_first = [sizes[int(i)] for i in order.group(1).split(',') if i]
    tile = _TILE.search(layout)
    if tile:
      for i, size in enumerate(reversed(tile.group(1).split(','))):
        if i < len(minor_first):
          minor_first[i] = -(-minor_first[i] // int(size)) * int(size)
    sizes = minor_first
  bits = _BITS.get(dtype)
  if bits is None:
    digits = re.match(r'[a-z]+(\d+)', dtype)
    bits = int(digits.group(1)) if digits else 0
  return math.prod(sizes) * bits // 8


def _balanced(text: str) -> int:
  """Index behind the bracket that closes the one at text[0]."""
  depth = 0
  for i, character in enumerate(text):
    depth += {'(': 1, ')': -1}.get(character, 0)
    if depth == 0:
      return i + 1
  return len(text)


def _parse(line: str) -> _Instruction | None:
  match = _INSTRUCTION.match(line)
  if not match:
    return None
  root, name, body = match.groups()
  end = _balanced(body) if body.startswith('(') else body.index(' ')
  type_, body = body[:end], body[end:].lstrip()
  opcode, _, _ = body.partition('(')
  body = body[len(opcode) :]
  end = _balanced(body)
  arguments, rest = body[:end], body[end:]
  operands = tuple(_OPERAND.findall(arguments))
  return _Instruction(
    name, type_, opcode, arguments, operands, rest, bool(root)
  )


def _copied_bytes(start: _Instruction) -> int:
  """Bytes of main memory that an asynchronous copy reads and writes.

  Of a slice, whose type is ((operand), result, ...), the part that it takes.
  """
  if not start.opcode.endswith('slice-start'):
    return array_bytes(start.type)
  operand, result, *_ = (m.group() for m in _ARRAY.finditer(start.type))
  written = array_bytes(result)
  read = array_bytes(_SPACE.sub('', result)) if array_bytes(operand) else 0
  return read + written


def _users(instructions, name: str) -> Iterator[tuple[_Instruction, str]]:
  """Who uses a value, and under which name."""
  for i in instructions:
    if name not in i.operands:
      continue
    if i.opcode in _PASSING and len(i.operands) == 1 and not i.is_root:
      yield from _users(instructions, i.name)
    else:
      yield i, name


class _Program:
  """The computations of a text, and what each costs."""

  def __init__(self, text: str, chip: Chip):
    self._chip = chip
    self._computations: dict[str, dict[str, _Instruction]] = {}
    self._entry = None
    current = None
    for line in text.splitlines():
      header = _HEADER.match(line)
      if header:
        current = self._computations.setdefault(header.group(2), {})
        if header.group(1):
          self._entry = header.group(2)
      elif current is not None and (instruction := _parse(line)):
        current[instruction.name] = instruction
    self._cost = functools.lru_cache(maxsize=None)(self._computation_cost)

  def cost(self) -> Cost:
    if self._entry is None:
      raise ValueError('no ENTRY computation: not the text of a program')
    return self._cost(self._entry)

  def _computation_cost(self, name: str) -> Cost:
    instructions = self._computations[name]
    costs = (self._one(i, instructions) for i in instructions.values())
    return sum(costs, Cost())

  def _one(self, instruction, siblings) -> Cost:
    opcode = instruction.opcode
    called = dict(_CALLED.findall(instruction.rest))
    if opcode in _FREE or opcode.endswith('-done'):
      return Cost()
    if opcode == 'while':
      inside = self._cost(called['body']) + self._cost(called['condition'])
      return inside * self._trips(called['condition'])
    if opcode == 'conditional':
      branches = _BRANCHES.search(instruction.rest)
      names = _OPERAND.findall(branches.group(1)) if branches else []
      return max(
        (self._cost(name) for name in names),
        key=lambda cost: cost.seconds,
        default=Cost(),
      )
    if opcode == 'call':
      return self._cost(called['to_apply'])
    if opcode.endswith('-start'):
      return Cost(copied=_copied_bytes(instruction))
    is_kernel = 'custom_call_target="tpu_custom_call"' in instruction.rest
    if opcode == 'custom-call' and not is_kernel:
      return Cost()
    return self._leaf(instruction, siblings, called.get('calls'), is_kernel)

  def _leaf(self, instruction, siblings, fused, is_kernel) -> Cost:
    cycles = sum(int(c) for c in _CYCLES.findall(instruction.rest))
    size = sum(self._traffic(instruction, siblings, fused))
    seconds = size / self._chip.bandwidth
    if self._multiplies(instruction, fused):
      seconds = max(seconds, cycles / self._chip.clock)
    return Cost(cycles, seconds, size, 0.0, float(is_kernel))

  def _multiplies(self, instruction, fused) -> bool:
    if instruction.opcode in ('convolution', 'dot'):
      return True
    return fused is not None and any(
      self._multiplies(inner, dict(_CALLED.findall(inner.rest)).get('calls'))
      for inner in self._computations[fused].values()
    )

  def _traffic(self, instruction, siblings, fused) -> Iterator[int]:
    """Bytes of each operand and of the result."""
    inner = self._computations.get(fused, {}).values()
    written = array_bytes(instruction.type)
    for i in inner or [instruction]:
      if (i.is_root or not inner) and i.opcode == 'dynamic-update-slice':
        types = self._computations[fused] if inner else siblings
        written = min(written, array_bytes(types[i.operands[1]].type))
    for index, name in enumerate(instruction.operands):
      read = array_bytes(siblings[name].type)
      users = [(instruction, name)]
      if inner:
        parameter = next(
          i.name
          for i in inner
          if i.opcode == 'parameter' and i.arguments == f'({index})'
        )
        users = list(_users(inner, parameter))
      first = [i for i, used in users if i.operands[0] == used]
      if len(first) == len(users):
        opcodes = {i.opcode for i in first}
        if opcodes <= _SLICES:
          read = min(read, sum(array_bytes(i.type) for i in first))
        elif opcodes == {'dynamic-update-slice'}:
          read = 0
      yield read
    yield written

  def _trips(self, condition: str) -> int:
    """How often a loop runs: its counter's bound, counted from 0 by 1."""
    instructions = self._computations[condition]
    root = next(i for i in instructions.values() if i.is_root)
    # The comparison may be wrapped in a fusion.
    called = dict(_CALLED.findall(root.rest)).get('calls')
    candidates = [*instructions.values()]
    if called:
      candidates += self._computations[called].values()
    bounds = [
      int(i.arguments.strip('()'))
      for i in candidates
      if i.opcode == 'constant' and re.fullmatch(r'\(\d+\)', i.arguments)
    ]
    if len(bounds) != 1:
      raise ValueError(f'the trip count of {condition} is not a constant')
    return bounds[0]
