"""Several processes, on one machine or on many, each with devices of its own.

Folds are dealt to the processes, which train them without a word between them;
what they have found is exchanged before and after.
"""

from collections.abc import Sequence
import pickle
from typing import TypeVar

import jax
from jax.experimental import multihost_utils
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, faults, progress, runtime

T = TypeVar('T')


def start(settings: configuration.Parallel) -> None:
  """Joins the other processes, if there are any; before any device is used.

  Args:
    settings: the `parallel` section. `coordinator` '' is this process alone,
      'auto' asks the environment (TPU pod, SLURM, Open MPI), and anything else
      is the address of process 0, with `processes` and `process` beside it.

  Raises:
    UserError: the others are not found, or there is no device.
  """
  joins = bool(settings.coordinator) and not jax.distributed.is_initialized()
  if joins:
    _join(settings)
  runtime.require_devices()
  if joins:
    # One of them speaks.
    progress.console.quiet = not is_main()


def _join(settings: configuration.Parallel) -> None:
  address = settings.coordinator
  try:
    with progress.waiting(f'Waiting for the other processes ({address})'):
      if address == 'auto':
        jax.distributed.initialize()
      else:
        jax.distributed.initialize(
          address, settings.processes, settings.process
        )
  except Exception as error:  # Of every kind, by what detected the cluster.
    raise errors.UserError(
      f'--config.parallel.coordinator={address}: the other processes were not'
      f' found ({faults.one_line(error)}). Give the address of process 0 as'
      ' host:port, how many there are as --config.parallel.processes and which'
      ' this is as --config.parallel.process; or leave it out for one process.'
    ) from error


def is_main() -> bool:
  """Whether this process prints and writes the results."""
  return jax.process_index() == 0


def own(rows: Sequence[int]) -> list[int]:
  """Those of the rows that this process trains; the same every time."""
  return [r for r in rows if r % jax.process_count() == jax.process_index()]


def gather(value: T) -> list[T]:
  """The value of every process, in their order; all must call it."""
  if jax.process_count() == 1:
    return [value]
  data = np.frombuffer(pickle.dumps(value), np.uint8)
  with progress.waiting('Waiting for the other processes'):
    sizes = multihost_utils.process_allgather(np.array(len(data), np.int32))
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: len(data)] = data
    everyone = np.asarray(multihost_utils.process_allgather(padded))
  return [
    pickle.loads(row[:size].tobytes()) for row, size in zip(everyone, sizes)
  ]


def of_main(value: T) -> T:
  """The value of the main process; all must call it."""
  return gather(value)[0]
