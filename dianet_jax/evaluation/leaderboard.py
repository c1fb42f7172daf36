"""All rows of a study in one table, the best first."""

from collections.abc import Mapping
import dataclasses

from dianet_jax.evaluation import compare, metrics, predictions, tables

# Metrics in the order of the columns.
_COLUMNS = ('uf1', 'uar', 'accuracy')
_SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class Entry:
  """What the leaderboard says of a row besides its predictions.

  Attributes:
    parameters: of one network.
    seconds: of a fold's training, wall clock; None where it is not known.
  """

  parameters: int
  seconds: float | None


def table(
  runs: Mapping[str, predictions.Predictions],
  entries: Mapping[str, Entry],
  format: str = 'text',
) -> str:
  """Metrics of runs on the same clips, differences, and what the runs cost.

  One table of all clips and one of each data set. Differences are from the
  first run.

  Args:
    runs: name -> run.
    entries: name -> what else is known of it.
    format: 'text' or 'markdown'.

  Raises:
    UserError: the runs are not about the same clips.
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
    f'UF1 - {reference}: the difference; p by swapping all predictions of'
    f' random subjects, adjusted for {len(pairs)} comparison(s) (Holm);'
    f' * below {_SIGNIFICANT}.',
    's a fold: seconds of wall clock, other work beside it included.',
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
