"""Limits how far the host dispatches work ahead of the devices.

Dispatched programs cannot be cancelled: a signal waits until they have run.
"""

import time
from typing import Any

import jax

# Much longer than the start of a program, and much shorter than the 10 seconds
# within which a signal must be handled.
MOST_SECONDS = 1.0


class DispatchLimit:
  """Waits for the devices, to stay about `MOST_SECONDS` ahead of them.

  The number of programs between two waits adapts: it starts at one, doubles
  while they finish early, and halves when they finish late.
  """

  def __init__(self):
    self._most, self._queued, self._since = 1, 0, time.monotonic()

  def queued(self, result: Any) -> None:
    """Counts a dispatched program; may wait for its result."""
    self._queued += 1
    if self._queued < self._most:
      return
    jax.block_until_ready(result)
    now = time.monotonic()
    if now - self._since > MOST_SECONDS:
      self._most = max(self._most // 2, 1)
    elif now - self._since < MOST_SECONDS / 4:
      self._most *= 2
    self._queued, self._since = 0, now
