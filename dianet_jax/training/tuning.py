"""Which strategy, and how many folds at once, are fastest: by measuring.

The programs of every candidate are compiled and timed on the real data, and
the choice is kept beside the compiled programs: the next run on such a device
has it at once.
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

# What was fastest by the compilers' estimates first: should the time be short.
STRATEGIES = ('map', 'loop', 'vmap', 'vmap_products', 'unroll')
BUDGET_SECONDS = 180
# Folds at once, of the strategies that take several, while they are compared.
_FOLDS = 4
# More folds at once must gain so much a fold.
_GAIN = 0.03


@dataclasses.dataclass(frozen=True)
class Row:
  """One candidate.

  Attributes:
    strategy: see `config.Parallel`.
    folds: at once on a device.
    seconds: of an epoch of one fold, on one device; None where it failed.
    compiled: seconds until its programs were ready.
    failure: why there is no time; '' otherwise.
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
    """For JSON."""
    return dataclasses.asdict(self)

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> 'Choice':
    """Back again."""
    rows = tuple(Row(**row) for row in values['rows'])
    return cls(values['strategy'], values['folds'], rows)


# Strategy and number of folds -> seconds of an epoch of one fold, and until the
# programs were ready. Raises where memory is short.
Measure = Callable[[str, int], tuple[float, float]]


def measured(
  measure: Measure,
  folds: int,
  folds_per_device: int = 0,
  strategies: Sequence[str] = STRATEGIES,
  budget_seconds: float = BUDGET_SECONDS,
) -> Choice:
  """The fastest candidate.

  All strategies are compared with a few folds at once. The winner then takes
  twice as many while that makes it faster.

  Args:
    measure: see there.
    folds: that a device will train; no candidate takes more.
    folds_per_device: at once, where that is not to be chosen; otherwise 0.
    strategies: in their order, as far as the time suffices.
    budget_seconds: no candidate is begun later.

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
      'Training fits the device by no strategy:'
      f' {rows[0].strategy}: {rows[0].failure}'
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
    # A compiler may also give up on one form of a program and not on others.
    failure = (
      'memory was exhausted'
      if memory.is_exhaustion(error)
      else faults.one_line(error)
    )
  return Row(strategy, folds, None, 0.0, failure)


def kept(
  folder: pathlib.Path, key: dict[str, Any], choose: Callable[[], Choice]
) -> Choice:
  """The choice that is kept for such a training, or a new one.

  Args:
    folder: of the cache.
    key: all that the times depend on, for JSON.
    choose: measures.
  """
  text = json.dumps(key, sort_keys=True)
  name = hashlib.sha256(text.encode()).hexdigest()[:16]
  path = folder / f'{name}.json'
  try:
    choice = Choice.from_dict(json.loads(path.read_text(encoding='utf-8')))
  except (OSError, ValueError, KeyError, TypeError):
    # None is there, or it is damaged.
    choice = choose()
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(path, {'key': key} | choice.to_dict())
  return choice


def applied(
  settings: configuration.Parallel, choice: Choice
) -> configuration.Parallel:
  """The `parallel` section with the choice in place of `auto` and 0."""
  return dataclasses.replace(
    settings, strategy=choice.strategy, folds_per_device=choice.folds
  )


def sentences(choice: Choice) -> Iterator[str]:
  """What to say of a choice, the candidates below it."""
  yield (
    f'Strategy: {choice.strategy}, {choice.folds} fold(s) at once on a device,'
    ' the fastest of'
  )
  for row in choice.rows:
    yield f'  {row}'
