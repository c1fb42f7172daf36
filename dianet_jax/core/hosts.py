"""Several processes, on one machine or many, each with its own devices.

Each process trains its own folds without communication; results are exchanged
before and after training.
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

# Keys of messages between processes: an error, and its acknowledgements.
_ERROR, _ACKNOWLEDGED = 'dianet/error', 'dianet/acknowledged'
_SEND_SECONDS, _POLL_SECONDS = 5, 1
# After this time a killed process is detected.
_HEARTBEAT_SECONDS = 30


def start(settings: configuration.Parallel) -> None:
  """Connects to the other processes, if any, and starts the devices.

  Call it before any device is used.

  Args:
    settings: the `parallel` section. With `coordinator` '' there is only this
      process, 'auto' detects a cluster (TPU pod, SLURM, Open MPI), and anything
      else is the address of process 0, used with `processes` and `process`.

  Raises:
    UserError: the other processes are not found, or there is no device.
  """
  joins = bool(settings.coordinator) and not jax.distributed.is_initialized()
  if joins:
    _join(settings)
  runtime.require_devices()
  if joins:
    # XLA replaces the handler of SIGTERM when processes connect.
    stopping.arm()
    _Listener.thread = threading.Thread(target=_listen, daemon=True)
    _Listener.thread.start()
    # Only the main process prints.
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
  except Exception as error:  # Each kind of cluster raises other exceptions.
    raise errors.UserError(
      f'--config.parallel.coordinator={address}: the other processes were not'
      f' found ({faults.one_line(error)}). Give the address of process 0 as'
      ' host:port, the number of processes as --config.parallel.processes and'
      ' the index of this one as --config.parallel.process; or leave it out for'
      ' one process.'
    ) from error


class _Listener:
  """The thread that listens for errors of other processes, if there are any."""

  thread: threading.Thread | None = None
  ended = threading.Event()


@contextlib.contextmanager
def fail_together() -> Iterator[None]:
  """If an error ends this process in this block, the others end, too.

  Otherwise they would wait for it forever, at the latest in `gather`. Each
  saves its folds in training and ends with the text of the error.
  """
  try:
    yield
  except BaseException as error:
    if _Listener.thread and jax.process_count() > 1:
      known = isinstance(error, (errors.UserError, errors.Stopped))
      _send(str(error) if known else faults.one_line(error))
      # XLA would wait for the others on exit, and crash without them.
      entry.Exit.at_once = True
    raise
  finally:
    # A thread in a call of XLA while Python exits would crash.
    _Listener.ended.set()
    if _Listener.thread:
      _Listener.thread.join()


def _send(text: str) -> None:
  """Sends an error to the others, and waits until they acknowledge it.

  The first process holds the messages, so it must stay until all have read.
  """
  own = jax.process_index()
  # Another error was sent already, or the others have ended.
  with contextlib.suppress(jax.errors.JaxRuntimeError):
    _client().key_value_set(_ERROR, json.dumps([own, text]))
    end = time.monotonic() + _SEND_SECONDS
    for process in range(jax.process_count()):
      left = max(end - time.monotonic(), 0.01)
      if process != own:
        key = f'{_ACKNOWLEDGED}/{process}'
        _client().blocking_key_value_get(key, round(1000 * left))


def _listen() -> None:
  """Stops this process after an error of another one."""
  while not _Listener.ended.wait(_POLL_SECONDS):
    try:
      message = _client().key_value_try_get(_ERROR)
    except jax.errors.JaxRuntimeError as error:
      if 'NOT_FOUND' in str(error):
        continue
      # The first process has ended, which XLA detects itself.
      return
    process, text = json.loads(message)
    if process != jax.process_index():
      with contextlib.suppress(jax.errors.JaxRuntimeError):
        _client().key_value_set(f'{_ACKNOWLEDGED}/{jax.process_index()}', '')
      stopping.request(f'process {process} has ended: {text}')
    return


def _client() -> Any:
  """The key-value store of all processes; jax has no public API for it."""
  return distributed.global_state.client


def is_main() -> bool:
  """Whether this process prints and writes the results."""
  return jax.process_index() == 0


def own(rows: Sequence[int]) -> list[int]:
  """The rows that this process trains, always the same.

  Args:
    rows: indices of folds.
  """
  return [r for r in rows if r % jax.process_count() == jax.process_index()]


def gather(value: T) -> list[T]:
  """Collects a value from every process; all must call it.

  Args:
    value: of this process; any picklable object.

  Returns:
    The values in the order of the processes.
  """
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
  """The value of the main process; all processes must call it."""
  return gather(value)[0]
