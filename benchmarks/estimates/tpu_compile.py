"""What our programs should cost on a TPU or GPU that is not here.

    pip install -e '.[tpu]'
    python -m benchmarks.estimates.tpu_compile
    python -m benchmarks.estimates.tpu_compile --shapes=8x64x224x224x3
    python -m benchmarks.estimates.tpu_compile --chips=v5e --sizes=112

Compiles with the real TPU compiler. All figures are COMPILER ESTIMATES, NOT
MEASUREMENTS. Of the frame-sum kernel, every form, microseconds:

  floor   frames read once, sums written once, at the memory's full speed
  roof    main memory and the matrix unit, copies hidden behind other work; for
          Pallas kernels their instructions, too, if they take longer
  worst   the same, copies not hidden; what surrounds a kernel at raw cycles
  raw     the compiler's cycles: 1.25 to 6 times too high for what is no matrix
          product, and without Pallas kernels
  kernel  a Pallas kernel's instructions, one bundle a cycle, no stalls

The roof leaves out what vectors do on the chip: a loop's time lies between roof
and raw. A Pallas kernel's bytes equal the floor's by construction; that it can
run at that speed is seen in "kernel", which must stay below the floor.

Then it compiles for a GPU of compute capability 9.0 and prints temporary
memory; its compiler gives no times.

Of training, the default network and settings by every strategy for the folds of
a device, milliseconds a fold and step: roof and raw as above, the model FLOPs
utilisation by each (operations of the network's products, gradients counted as
twice the forward pass, against the published bfloat16 peak), the time against
that of `loop`, one fold alone, and the memory of all folds.

On a machine with a TPU or GPU, or with --measure, measured times come first.
"""

import argparse
from collections.abc import Callable
import importlib.metadata
import itertools
import pathlib
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.estimates import compile_ahead, training_program
from benchmarks.estimates.compile_ahead import CHIPS
from benchmarks.peers import frame_sum_forms as forms
from dianet_jax.core import config
from dianet_jax.motion import frame_sums

SHAPES = ('8x64x224x224x3', '8x256x224x224x3', '1x1000x224x224x3')


def print_tpu(chips, shapes, dump: pathlib.Path | None) -> None:
  """One table a chip and shape."""
  for name, shape in itertools.product(chips, shapes):
    chip, topology = CHIPS[name], compile_ahead.tpu_topology(name)
    floor = forms.floor_bytes(forms.problem(shape, True)) / chip.bandwidth
    print(
      f'\n{name}, {_text(shape)} uint8, {forms.PHASES} phases; floor '
      f'{1e6 * floor:.0f} us at {chip.bandwidth / 1e9:.0f} GB/s. ESTIMATES'
    )
    print(
      f'{"us":<28}{"roof":>7}{"/floor":>8}{"worst":>7}{"/floor":>8}'
      f'{"raw":>9}{"kernel":>8}{"temp MB":>9}'
    )
    for form, (function, flat) in forms.TPU_FORMS.items():
      result = compile_ahead.estimate(
        function, forms.problem(shape, flat), topology, chip,
        dump, forms.kernel_steps(shape),
      )  # fmt: skip
      print(_tpu_row(form, result, floor), flush=True)


def _tpu_row(form: str, result: compile_ahead.Estimate, floor: float) -> str:
  roof, worst = result.roof_seconds(), result.worst_seconds()
  raw = f'{1e6 * result.cost.raw_seconds(result.chip):.0f}'
  kernel = '-'
  if result.cost.kernels:
    # The compiler's cycles leave kernels out.
    raw += '+'
    known = result.kernel_seconds
    kernel = f'{1e6 * known:.0f}' if known else '?'
  return (
    f'{form:<28}{1e6 * roof:7.0f}{roof / floor:8.2f}{1e6 * worst:7.0f}'
    f'{worst / floor:8.2f}{raw:>9}{kernel:>8}{result.temp_bytes / 1e6:9.1f}'
  )


def print_gpu(shapes) -> None:
  """Temporary memory against a copy of the frames."""
  topology = compile_ahead.gpu_topology()
  for shape in shapes:
    arguments = forms.problem(shape, True)
    frames = arguments[0].size
    print(f'\nsm_90, {_text(shape)}; frames {frames / 1e6:.1f} MB as uint8')
    print(f'{"":<28}{"temp MB":>9}{"/frames":>9}')
    for form, function in forms.GPU_FORMS.items():
      compiled = compile_ahead.compile_for(function, arguments, topology)
      temp = compiled.memory_analysis().temp_size_in_bytes
      print(f'{form:<28}{temp / 1e6:9.1f}{temp / frames:9.2f}')


def measured_seconds(function: Callable, arguments, repeats: int = 10) -> float:
  """The fastest of some calls on this process's first device."""
  compiled = jax.jit(function).lower(*arguments).compile()
  jax.block_until_ready(compiled(*arguments))
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    times.append(time.perf_counter() - start)
  return min(times)


def _random(arguments) -> list[jax.Array]:
  random = np.random.default_rng(0)
  frames, weights, reference = arguments
  return [
    jnp.asarray(random.integers(0, 256, frames.shape, np.uint8)),
    jnp.asarray(random.normal(size=weights.shape), jnp.float32),
    jnp.zeros(reference.shape, jnp.int32),
  ]


def print_measured(shapes) -> None:
  """Times on the device that is here."""
  device = jax.devices()[0]
  compared = {'chosen by platform (ours)': (frame_sums.frame_sums, True)}
  if device.platform == 'tpu':
    compared |= forms.TPU_FORMS
  else:
    compared |= {k: (v, True) for k, v in forms.GPU_FORMS.items()}
  for shape in shapes:
    print(f'\n{device.device_kind}, {_text(shape)} uint8. MEASURED')
    print(f'{"":<28}{"us":>9}{"GB/s":>9}')
    for form, (function, flat) in compared.items():
      arguments = forms.problem(shape, flat)
      seconds = measured_seconds(function, _random(arguments))
      rate = forms.floor_bytes(arguments) / seconds / 1e9
      print(f'{form:<28}{1e6 * seconds:9.0f}{rate:9.1f}', flush=True)


def _text(shape) -> str:
  return ' x '.join(map(str, shape))


def _shape(text: str) -> tuple[int, ...]:
  sizes = tuple(int(size) for size in text.split('x'))
  if len(sizes) != 5 or min(sizes) < 1:
    raise ValueError
  return sizes


def _chip(text: str) -> str:
  if text not in CHIPS:
    raise ValueError
  return text


def _strategy(text: str) -> str:
  if text not in training_program.STRATEGIES:
    raise ValueError
  return text


def _count(text: str) -> int:
  number = int(text)
  if number < 1:
    raise ValueError
  return number


def _list_of(read: Callable, example: str) -> Callable:
  def parse(text: str):
    try:
      return [read(part) for part in text.split(',')]
    except ValueError:
      raise argparse.ArgumentTypeError(
        f'{text!r}: expected a list such as {example}'
      ) from None

  return parse


def _options() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add(
    '--only',
    choices=('pooling', 'training'),
    help='the kernel, or training; by default both',
  )
  add(
    '--chips',
    type=_list_of(_chip, 'v5e,v6e'),
    default=','.join(CHIPS),
    help='by default %(default)s',
  )
  add(
    '--shapes',
    type=_list_of(_shape, SHAPES[0]),
    default=','.join(SHAPES),
    help='clips x frames x height x width x channels; by default %(default)s',
  )
  add(
    '--sizes',
    type=_list_of(_count, '112,224'),
    default='112,224',
    help='of the images in training, pixels; by default %(default)s',
  )
  add(
    '--strategies',
    type=_list_of(_strategy, 'loop,map'),
    default=','.join(training_program.STRATEGIES),
    help='by default %(default)s',
  )
  add(
    '--batch',
    type=_count,
    default=config.Train().batch_size,
    help='train.batch_size; by default %(default)s',
  )
  add(
    '--kernel',
    action=argparse.BooleanOptionalAction,
    default=True,
    help="count kernels' instructions in the TPU compiler's dump; the flags "
    'for that are not documented: another version may end the program',
  )
  add('--measure', action='store_true', help='measure on a CPU, too')
  return parser.parse_args()


def main() -> None:
  """Prints all that can be had on this machine."""
  options = _options()
  pooling, training = (
    options.only in (None, part) for part in ('pooling', 'training')
  )
  trained = options.sizes, options.batch, options.strategies
  with tempfile.TemporaryDirectory() as folder:
    dump = pathlib.Path(folder) if options.kernel and pooling else None
    compile_ahead.prepare_environment(dump)
    print(f'jax {jax.__version__}, {jax.devices()[0].device_kind} here')
    if options.measure or jax.default_backend() != 'cpu':
      if pooling:
        print_measured(options.shapes)
      if training:
        training_program.print_measured(*trained)
    if missing := compile_ahead.missing_for_tpu():
      print(missing)
    else:
      print(f'libtpu {importlib.metadata.version("libtpu")}')
      if pooling:
        print_tpu(options.chips, options.shapes, dump)
      if training:
        training_program.print_estimates(options.chips, *trained)
    if pooling:
      if missing := compile_ahead.missing_for_gpu():
        print(missing)
      else:
        print_gpu(options.shapes)


if __name__ == '__main__':
  main()
