"""How far the host runs ahead of the devices.

What is queued there cannot be called back: a signal is obeyed when it has run.
"""

import time
from typing import Any

import jax

# Long beside the start of a program, short beside the 10 seconds in which a
# signal is to be obeyed.
MOST_SECONDS = 1.0


class Ahead:
  """Waits for the devices as often as it takes to stay `MOST_SECONDS` ahead.

  How many programs that is shows by itself: one at first, twice as many while
  they are done early, half as many when they are late.
  """

  def __init__(self):
    self._most, self._queued, self._since = 1, 0, time.monotonic()

  def queued(self, result: Any) -> None:
    """Notes that a program was started; may wait for its result."""
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
