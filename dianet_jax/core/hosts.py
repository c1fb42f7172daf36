"""Several processes, on one machine or on many, each with devices of its own.

Folds are dealt to the processes, which train them without a word between them;
what they have found is exchanged before and after.
"""

from collections.abc import Iterator, Sequence
import contextlib
import json
import pickle
import threading
import time
from typing import Any, TypeVar

import jax
from jax._src import distributed
from jax.experimental import multihost_utils
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import entry, errors, faults, progress, runtime, stopping

T = TypeVar('T')

# Names of what the processes tell each other.
_ERROR, _KNOWN = 'dianet/error', 'dianet/known'
_TELLING_SECONDS, _LISTENING_SECONDS = 5, 1
# A process that was killed is missed after as long.
_HEARTBEAT_SECONDS = 30


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
    # XLA takes SIGTERM when processes join.
    stopping.arm()
    _Fate.listener = threading.Thread(target=_listen, daemon=True)
    _Fate.listener.start()
    # One of them speaks.
    progress.console.quiet = not is_main()


def _join(settings: configuration.Parallel) -> None:
  address = settings.coordinator
  timeout: Any = {'heartbeat_timeout_seconds': _HEARTBEAT_SECONDS}
  try:
    with progress.waiting(f'Waiting for the other processes ({address})'):
      if address == 'auto':
        jax.distributed.initialize(**timeout)
      else:
        jax.distributed.initialize(
          address, settings.processes, settings.process, **timeout
        )
  except Exception as error:  # Of every kind, by what detected the cluster.
    raise errors.UserError(
      f'--config.parallel.coordinator={address}: the other processes were not'
      f' found ({faults.one_line(error)}). Give the address of process 0 as'
      ' host:port, how many there are as --config.parallel.processes and which'
      ' this is as --config.parallel.process; or leave it out for one process.'
    ) from error


class _Fate:
  """Of the process: who listens to the others, if there are any."""

  listener: threading.Thread | None = None
  ended = threading.Event()


@contextlib.contextmanager
def one_fate() -> Iterator[None]:
  """An error that ends this process in this block ends the others, too.

  They would wait for it for ever, at the latest in `gather`. Each saves what it
  trains and ends with the text of the error.
  """
  try:
    yield
  except BaseException as error:
    if _Fate.listener and jax.process_count() > 1:
      known = isinstance(error, (errors.UserError, errors.Stopped))
      _tell(str(error) if known else faults.one_line(error))
      # XLA would wait for the others at the end, and crash without them.
      entry.Exit.at_once = True
    raise
  finally:
    # In a call of XLA's when Python ends, it would crash.
    _Fate.ended.set()
    if _Fate.listener:
      _Fate.listener.join()


def _tell(text: str) -> None:
  """Tells the others, and stays until they know: one of them may ask this one.

  The first process keeps what all of them say to each other.
  """
  own = jax.process_index()
  # Told already, or the others are gone.
  with contextlib.suppress(jax.errors.JaxRuntimeError):
    _client().key_value_set(_ERROR, json.dumps([own, text]))
    end = time.monotonic() + _TELLING_SECONDS
    for process in range(jax.process_count()):
      left = max(end - time.monotonic(), 0.01)
      if process != own:
        key = f'{_KNOWN}/{process}'
        _client().blocking_key_value_get(key, round(1000 * left))


def _listen() -> None:
  """Ends this process when another one says that it ends."""
  while not _Fate.ended.wait(_LISTENING_SECONDS):
    try:
      said = _client().key_value_try_get(_ERROR)
    except jax.errors.JaxRuntimeError as error:
      if 'NOT_FOUND' in str(error):
        continue
      # The first process is gone, which XLA notices on its own.
      return
    process, text = json.loads(said)
    if process != jax.process_index():
      with contextlib.suppress(jax.errors.JaxRuntimeError):
        _client().key_value_set(f'{_KNOWN}/{jax.process_index()}', '')
      stopping.request(f'process {process} has ended: {text}')
    return


def _client() -> Any:
  """Where all processes read and write texts; jax has no public name for it."""
  return distributed.global_state.client


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
