"""A table of all rows of a study, the best first."""

from collections.abc import Mapping
import dataclasses

from dianet_jax.evaluation import compare, metrics, predictions, tables

# Metrics in the order of the columns.
_COLUMNS = ('uf1', 'uar', 'accuracy')
_SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class Entry:
  """The cost of a row of the leaderboard.

  Attributes:
    parameters: number of parameters of one network.
    seconds: wall-clock seconds to train one fold; None if unknown.
  """

  parameters: int
  seconds: float | None


def table(
  runs: Mapping[str, predictions.Predictions],
  entries: Mapping[str, Entry],
  format: str = 'text',
) -> str:
  """Metrics, differences and costs of runs on the same clips.

  One table for all clips and one for each data set. Differences are relative to
  the first run.

  Args:
    runs: name -> run.
    entries: name -> its cost.
    format: 'text' or 'markdown'.

  Returns:
    The tables and notes as one text.

  Raises:
    UserError: the runs are not on the same clips.

  >>> import numpy as np
  >>> run = predictions.Predictions(
  ...   (0,), (('lab', 'c1'), ('lab', 'c2')), np.array(['s1', 's2']),
  ...   np.array(['lab', 'lab']), ('happy', 'sad'), np.array([0, 1]),
  ...   np.array([[0, 1]]), np.eye(2)[None],
  ... )
  >>> costs = {'a': Entry(1000, 2.5), 'b': Entry(2000, None)}
  >>> lines = table({'a': run, 'b': run}, costs, 'markdown').splitlines()
  >>> lines[4].split(' | ')[6:8]
  ['1,000', '2.5']
  """
  runs, notes = predictions.align(runs, False)
  pairs = compare.pairs_of(list(runs), '', False)
  shown = [
    _table(part, entries) for part in compare.parts_of(runs, pairs, True)
  ]
  reference = next(iter(runs))
  notes = [
    *notes,
    'Means over seeds, one confusion matrix pooled over all folds; intervals:'
    ' 95 %, 2,000 draws of the tested subjects.',
    f'UF1 - {reference}: the difference; p by a permutation test that swaps'
    f' the predictions of random subjects, adjusted for {len(pairs)}'
    f' comparison(s) (Holm); * below {_SIGNIFICANT}.',
    's a fold: wall-clock seconds, including other work on the machine.',
  ]
  return tables.render(shown, notes, format)


def _table(part: compare.Part, entries: Mapping[str, Entry]) -> tables.Table:
  header = [
    'row',
    *(metrics.METRICS[key].label for key in _COLUMNS),
    f'{metrics.METRICS[metrics.MAIN].label} - {next(iter(part.runs))}',
    'p (Holm)', 'parameters', 's a fold', 'n', 'folds', 'seeds',
  ]  # fmt: skip
  best_first = sorted(
    part.runs, key=lambda name: -part.summaries[name][metrics.MAIN]['mean']
  )
  return tables.Table(
    ', '.join(
      ['leaderboard', *compare.remarks(part.runs), part.dataset or 'all clips']
    ),
    header,
    [_row(part, name, entries[name]) for name in best_first],
  )


def _row(part: compare.Part, name: str, entry: Entry) -> list[str]:
  summary = part.summaries[name]
  values = [
    f'{tables.number(summary[key]["mean"])}\n'
    + tables.interval(summary[key]['interval_95'])
    for key in _COLUMNS
  ]
  difference, p = 'reference', ''
  if pair := part.pairs.get((name, next(iter(part.runs)))):
    found = pair.metrics[metrics.MAIN]
    difference = f'{tables.number(found.value, "+")}\n' + tables.interval(
      found.interval, '+'
    )
    p = tables.p_value(found.p_holm)
    p += ' *' if found.p_holm < _SIGNIFICANT else ''
  seconds = '' if entry.seconds is None else f'{entry.seconds:.1f}'
  return [
    name, *values, difference, p, f'{entry.parameters:,}', seconds,
    str(summary['n']), str(part.folds), str(len(part.runs[name].seeds)),
  ]  # fmt: skip
