"""What the frame-sum kernel should cost on a TPU or GPU that is not here.

    pip install -e '.[tpu]'
    python -m benchmarks.tpu_compile
    python -m benchmarks.tpu_compile --chips=v5e --shapes=8x64x224x224x3

Compiles every form with the real TPU compiler and prints microseconds. All are
COMPILER ESTIMATES, NOT MEASUREMENTS:

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
memory; its compiler gives no times. On a machine with a TPU or GPU, or with
--measure, measured times come first.
"""

import argparse
from collections.abc import Callable
import itertools
import pathlib
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import compile_ahead
from benchmarks import frame_sum_forms as forms
from benchmarks.compile_ahead import CHIPS
from dianet_jax import frame_sums

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


def _list_of(read: Callable, example: str) -> Callable:
  def parse(text: str):
    try:
      return [read(part) for part in text.split(',')]
    except ValueError:
      raise argparse.ArgumentTypeError(
        f'{text!r}: expected a list such as {example}'
      ) from None

  return parse


def main() -> None:
  """Prints all that can be had on this machine."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--chips',
    type=_list_of(_chip, 'v5e,v6e'),
    default=','.join(CHIPS),
    help='by default %(default)s',
  )
  parser.add_argument(
    '--shapes',
    type=_list_of(_shape, SHAPES[0]),
    default=','.join(SHAPES),
    help='clips x frames x height x width x channels; by default %(default)s',
  )
  parser.add_argument(
    '--kernel',
    action=argparse.BooleanOptionalAction,
    default=True,
    help="count kernels' instructions in the TPU compiler's dump; the flags "
    'for that are not documented: another version may end the program',
  )
  parser.add_argument(
    '--measure', action='store_true', help='measure on a CPU, too'
  )
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    dump = pathlib.Path(folder) if options.kernel else None
    compile_ahead.prepare_environment(dump)
    print(f'jax {jax.__version__}, {jax.devices()[0].device_kind} here')
    if options.measure or jax.default_backend() != 'cpu':
      print_measured(options.shapes)
    if missing := compile_ahead.missing_for_tpu():
      print(missing)
    else:
      print_tpu(options.chips, options.shapes, dump)
    if missing := compile_ahead.missing_for_gpu():
      print(missing)
    else:
      print_gpu(options.shapes)


if __name__ == '__main__':
  main()
