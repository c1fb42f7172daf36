"""Measures which strategy and number of folds at once are fastest.

The programs of every candidate are compiled and timed on the data of the run.
The choice is cached with the compiled programs, for later runs on such devices.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import hashlib
import json
import pathlib
import time
from typing import Any

import jax

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, faults, files
from dianet_jax.training import memory

# In order of estimated speed, because the time may not suffice for all.
STRATEGIES = ('map', 'loop', 'vmap', 'vmap_products', 'unroll')
BUDGET_SECONDS = 180
# Folds at once for the comparison of strategies that train several.
_FOLDS = 4
# More folds at once must be faster by this factor per fold.
_GAIN = 0.03


@dataclasses.dataclass(frozen=True)
class Row:
  """One candidate.

  Attributes:
    strategy: see `config.Parallel`.
    folds: number of folds at once on a device.
    seconds: time per fold and epoch on one device; None if it failed.
    compiled: seconds to compile its programs.
    failure: why it failed; '' if it did not.
  """

  strategy: str
  folds: int
  seconds: float | None
  compiled: float
  failure: str = ''

  def __str__(self) -> str:
    name = f'{self.strategy}, {self.folds} at once'
    if self.seconds is None:
      return f'{name:<24} {self.failure}'
    return (
      f'{name:<24} {1000 * self.seconds:10.2f} ms a fold and epoch, ready in'
      f' {self.compiled:.0f} s'
    )


@dataclasses.dataclass(frozen=True)
class Choice:
  """The fastest candidate, and all that were measured."""

  strategy: str
  folds: int
  rows: tuple[Row, ...] = ()

  def to_dict(self) -> dict[str, Any]:
    """Converts to values for JSON."""
    return dataclasses.asdict(self)

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> 'Choice':
    """Converts the result of `to_dict` back."""
    rows = tuple(Row(**row) for row in values['rows'])
    return cls(values['strategy'], values['folds'], rows)


# (strategy, number of folds) -> (seconds per fold and epoch, seconds to compile
# the programs). Raises if memory is exhausted.
Measure = Callable[[str, int], tuple[float, float]]


def measured(
  measure: Measure,
  folds: int,
  folds_per_device: int = 0,
  strategies: Sequence[str] = STRATEGIES,
  budget_seconds: float = BUDGET_SECONDS,
) -> Choice:
  """Measures candidates and chooses the fastest.

  All strategies are compared with a few folds at once. For the fastest, the
  number of folds is then doubled as long as that makes it faster.

  Args:
    measure: see `Measure`.
    folds: number of folds of a device; the upper limit of folds at once.
    folds_per_device: fixed number of folds at once; 0 to choose it.
    strategies: candidates, in this order.
    budget_seconds: no candidate is started later.

  Returns:
    The choice, with all measurements.

  Raises:
    UserError: no candidate fits the device.
  """
  start, rows = time.monotonic(), []

  def attempt(strategy, number):
    rows.append(_row(measure, strategy, number))
    return rows[-1]

  for strategy in strategies:
    if rows and time.monotonic() - start > budget_seconds:
      break
    number = min(folds_per_device or _FOLDS, folds)
    attempt(strategy, 1 if strategy == 'loop' else number)
  timed = [row for row in rows if row.seconds is not None]
  if not timed:
    raise errors.UserError(
      f'No strategy fits the device: {rows[0].strategy}: {rows[0].failure}'
    )
  best = min(timed, key=_seconds)
  while (
    best.strategy != 'loop'
    and not folds_per_device
    and best.folds < folds
    and time.monotonic() - start <= budget_seconds
  ):
    more = attempt(best.strategy, min(2 * best.folds, folds))
    if more.seconds is None or more.seconds > (1 - _GAIN) * _seconds(best):
      break
    best = more
  return Choice(best.strategy, best.folds, tuple(rows))


def _seconds(row: Row) -> float:
  assert row.seconds is not None
  return row.seconds


def _row(measure: Measure, strategy: str, folds: int) -> Row:
  try:
    return Row(strategy, folds, *measure(strategy, folds))
  except errors.UserError as error:
    failure = str(error)
  except jax.errors.JaxRuntimeError as error:
    # A compiler may also fail on one form of a program and not on others.
    failure = (
      'memory was exhausted'
      if memory.is_exhaustion(error)
      else faults.one_line(error)
    )
  return Row(strategy, folds, None, 0.0, failure)


def cached(
  folder: pathlib.Path, key: dict[str, Any], choose: Callable[[], Choice]
) -> Choice:
  """The cached choice for such a training, or a new one.

  Args:
    folder: the cache folder.
    key: everything that the times depend on, as JSON values.
    choose: () -> a new choice, by measuring.
  """
  text = json.dumps(key, sort_keys=True)
  name = hashlib.sha256(text.encode()).hexdigest()[:16]
  path = folder / f'{name}.json'
  try:
    choice = Choice.from_dict(json.loads(path.read_text(encoding='utf-8')))
  except (OSError, ValueError, KeyError, TypeError):
    # The file is missing or damaged.
    choice = choose()
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(path, {'key': key} | choice.to_dict())
  return choice


def applied(
  settings: configuration.Parallel, choice: Choice
) -> configuration.Parallel:
  """The `parallel` section with `auto` and 0 replaced by the choice."""
  return dataclasses.replace(
    settings, strategy=choice.strategy, folds_per_device=choice.folds
  )


def sentences(choice: Choice) -> Iterator[str]:
  """Describes a choice, followed by its candidates."""
  yield (
    f'Strategy: {choice.strategy}, {choice.folds} fold(s) at once on a device,'
    ' the fastest of'
  )
  for row in choice.rows:
    yield f'  {row}'
