"""Checks the device memory that a run needs, before training starts."""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
from typing import Any

import jax

from dianet_jax.core import errors, faults, limits

Devices = Sequence[jax.Device]  # pyright: ignore[reportInvalidTypeForm]

_GB = 1e9
_ADVICE = (
  '--config.data.image_size (memory grows with its square),'
  ' --config.data.offset_jitter_frames (a copy of the data each),'
  ' --config.train.batch_size'
)


def size(tree: Any) -> int:
  """Bytes of all arrays, or of their shapes."""
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def free(devices: Devices) -> int | None:
  """Free bytes on each device; None if unknown.

  The cores of a processor share the memory that the process may still use.
  """
  stats = devices[0].memory_stats()
  if stats and 'bytes_limit' in stats:
    return stats['bytes_limit'] - stats.get('bytes_in_use', 0)
  left = limits.free_memory()
  return left and left // len(devices)


def check_data(data: Any, one_fold: Any, devices: Devices) -> None:
  """Checks that the data fit on a device, before they are copied.

  Args:
    data: arrays that every device holds.
    one_fold: state of a fold, for its shapes.
    devices: of the run.

  Raises:
    UserError: they do not fit together with the state of one fold.
  """
  clips, state, left = size(data), size(one_fold), free(devices)
  if left is None or clips + state <= left:
    return
  raise errors.UserError(
    f'The data do not fit the device: {clips / _GB:.2f} GB of clips and'
    f' {state / _GB:.2f} GB for the training of one fold are needed on each'
    f' device, and {_has(devices, left)}. Lower one of'
    f' {_ADVICE}{_more(devices[0])}.'
  )


def check_programs(
  programs: Mapping[str, jax.stages.Compiled], data: Any, devices: Devices
) -> None:
  """Checks that programs fit in the free memory.

  Args:
    programs: by name, compiled for states that are not on the devices yet.
    data: on the devices.
    devices: of the run.

  Raises:
    UserError: one does not fit.
  """
  left = free(devices)
  there = size(data) // len(devices)
  needed = max(
    # A step reads the epoch's batches instead of the data.
    _bytes(program) - (there if name != 'step' else 0)
    for name, program in programs.items()
  )
  if left is None or needed <= left:
    return
  raise errors.UserError(
    f'Training does not fit the device: besides the data, {needed / _GB:.2f} GB'
    f' are needed, and {_has(devices, left)}. Set'
    f' --config.parallel.folds_per_device=1, or lower one of'
    f' {_ADVICE}{_more(devices[0])}.'
  )


def _bytes(program: jax.stages.Compiled) -> int:
  """Bytes of a program's arguments, results and buffers on each device."""
  analysis: Any = program.memory_analysis()
  if analysis is None:
    return 0
  return (
    analysis.argument_size_in_bytes
    + analysis.temp_size_in_bytes
    + analysis.output_size_in_bytes
    - analysis.alias_size_in_bytes
  )


@contextlib.contextmanager
def report_exhaustion(devices: Devices) -> Iterator[None]:
  """Turns failed allocations in this block into a `UserError`.

  Args:
    devices: of the run.

  Raises:
    UserError: an allocation failed.
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if not is_exhaustion(error):
      raise
    raise errors.UserError(
      f'The memory of {devices[0].device_kind} was exhausted'
      f' ({faults.one_line(error)}). Set --config.parallel.folds_per_device=1,'
      f' or lower one of {_ADVICE}{_more(devices[0])}.'
    ) from error


def is_exhaustion(error: Exception) -> bool:
  """Whether an error of XLA reports that memory is exhausted."""
  return 'RESOURCE_EXHAUSTED' in str(error)


def _has(devices: Devices, left: int) -> str:
  if devices[0].platform == 'cpu':
    share = f'free for each of {len(devices)} devices, which share the memory'
    return f'this machine has {left / _GB:.2f} GB {share}'
  return f'{devices[0].device_kind} has {left / _GB:.2f} GB free'


def _more(device: Any) -> str:
  """Advice on how to get more memory on such a device."""
  if device.platform == 'cpu':
    return '; or --config.parallel.devices=1, or a machine with more memory'
  if device.platform == 'gpu':
    return '; or XLA_PYTHON_CLIENT_MEM_FRACTION=.95 lets jax take more of it'
  return ''
