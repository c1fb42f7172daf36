"""Compares runs by their `predictions.csv`.

dianet compare runs/a runs/b (or NAME=runs/a)
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
import csv
import dataclasses
import io
import itertools
import pathlib
from typing import Any

from dianet_jax.core import errors, escape, progress
from dianet_jax.evaluation import metrics, predictions, significance, tables
from dianet_jax.evaluation.predictions import Predictions, load
from dianet_jax.evaluation.significance import Differences, differences

FORMATS = ('text', 'markdown', 'latex', 'csv')
_SIGNIFICANT = 0.05
_CSV_COLUMNS: Sequence[str] = (
  'run', 'against', 'dataset', 'measure', 'class', 'n', 'classes', 'folds',
  'seeds', 'value', 'std', 'low', 'high', 'only_run_right',
  'only_against_right', 'test', 'p', 'p_holm', 'left_out', 'remark',
)  # fmt: skip


def pairs_of(
  names: Sequence[str], against: str, all_pairs: bool
) -> list[tuple[str, str]]:
  """(run, reference) pairs; `against` is the reference, '' for the first run.

  >>> pairs_of(['a', 'b', 'c'], '', False)
  [('b', 'a'), ('c', 'a')]
  """
  if all_pairs:
    return [(b, a) for a, b in itertools.combinations(names, 2)]
  if against and against not in names:
    raise errors.UserError(
      f'against {against!r}: no such run. Expected one of {", ".join(names)}.'
    )
  reference = against or names[0]
  return [(name, reference) for name in names if name != reference]


@dataclasses.dataclass(frozen=True)
class Part:
  """The comparison on one set of clips.

  Attributes:
    dataset: data set of the clips; '' for all clips.
    runs: name -> predictions of these clips.
    summaries: name -> what `metrics.summarise` returned.
    pairs: (run, reference) -> differences, run minus reference.
  """

  dataset: str
  runs: Mapping[str, Predictions]
  summaries: dict[str, dict[str, Any]]
  pairs: dict[tuple[str, str], Differences]

  @property
  def folds(self) -> int:
    """Number of folds: of subjects or, across data sets, of data sets."""
    run = next(iter(self.runs.values()))
    held_out = run.datasets if run.cross_dataset else run.subjects
    return len(set(held_out.tolist()))


def parts_of(
  runs: Mapping[str, Predictions],
  pairs: Sequence[tuple[str, str]],
  by_dataset: bool,
) -> Iterator[Part]:
  """Compares aligned runs on all clips, then on those of each data set."""
  datasets = next(iter(runs.values())).datasets
  names = sorted(set(datasets.tolist()))
  for part in ['', *names] if by_dataset and len(names) > 1 else ['']:
    chosen = {
      name: run.only(datasets == part) if part else run
      for name, run in runs.items()
    }
    found = [differences(chosen[a], chosen[b]) for a, b in pairs]
    yield Part(
      dataset=part,
      runs=chosen,
      summaries={
        name: metrics.summarise(
          run.truth, run.predictions, run.classes, run.subjects
        )
        for name, run in chosen.items()
      },
      pairs=dict(zip(pairs, significance.adjust(found))),
    )


def _runs_table(part: Part, title: str) -> tables.Table:
  labels = [metric.label for metric in metrics.METRICS.values()]
  header = ['run', 'n', 'classes', 'folds', 'seeds', *labels]
  rows = []
  for name, run in part.runs.items():
    summary = part.summaries[name]
    row = [name, summary['n'], len(run.classes), part.folds, len(run.seeds)]
    for key in metrics.METRICS:
      value = summary[key]
      std = '' if value['std'] is None else f' ± {value["std"]:.3f}'
      row.append(
        f'{value["mean"]:.3f}{std}\n{tables.interval(value["interval_95"])}'
      )
    rows.append([str(cell) for cell in row])
  return tables.Table(title, header, rows)


def _classes_table(part: Part, title: str) -> tables.Table:
  counts = next(iter(part.summaries.values()))['clips_per_class']
  header = ['run', *(f'{name} ({count})' for name, count in counts.items())]
  rows = [
    [name, *(' / '.join(metrics.texts_of(summary, c)) for c in counts)]
    for name, summary in part.summaries.items()
  ]
  labels = ' / '.join(metric.label for metric in metrics.PER_CLASS.values())
  return tables.Table(
    f'{title}, by class (clips): {labels}, means over seeds', header, rows
  )


def _pairs_table(part: Part, title: str) -> tables.Table:
  several = len(part.pairs) > 1
  header = ['difference', 'of', 'value', '95 % interval', 'p']
  rows = []
  for (name, reference), pair in part.pairs.items():
    lines = [
      (
        metrics.METRICS[key].label,
        tables.number(d.value, '+'),
        tables.interval(d.interval, '+'),
        d.p,
        d.p_holm,
      )
      for key, d in pair.metrics.items()
    ]
    test = pair.mcnemar
    split = f'{test.only_first} : {test.only_second}'
    lines.append(('clips', split, '', test.p, pair.mcnemar_p_holm))
    for *cells, p, p_holm in lines:
      star = ' *' if p_holm < _SIGNIFICANT else ''
      row = [f'{name} - {reference}', *cells, tables.p_value(p)]
      rows.append([*row, tables.p_value(p_holm) + star] if several else row)
      if not several:
        rows[-1][-1] += star
  return tables.Table(
    f'{title}, differences', [*header, 'p (Holm)'] if several else header, rows
  )


def _notes(parts: Sequence[Part]) -> list[str]:
  notes = [
    'Mean ± standard deviation over seeds, one confusion matrix pooled over'
    ' all folds; intervals: 95 %, 2,000 draws of subjects.'
  ]
  pairs = parts[0].pairs
  if not pairs:
    return notes
  notes += [
    'p: permutation test that swaps the predictions of random subjects between'
    ' the two runs (10,000 permutations, or all if there are fewer).',
    'Clips: correct only in the first run : only in the second, with the seeds'
    " of a run as one ensemble (mean probability); p by McNemar's exact test.",
  ]
  if len(pairs) > 1:
    notes.append(
      f'p (Holm): adjusted for the {len(pairs)} comparisons of each metric and'
      ' data set.'
    )
  notes.append(f'* below {_SIGNIFICANT}.')
  runs = parts[0].runs
  for (name, reference), pair in pairs.items():
    if len(runs[name].seeds) != len(runs[reference].seeds):
      notes.append(
        f'{name} - {reference}: the numbers of seeds differ, so the first'
        f' {pair.seeds} of each are compared.'
      )
  return notes


def _measures(part: Part) -> Iterator[dict[str, Any]]:
  """Rows of the CSV file about one run."""
  for name, run in part.runs.items():
    summary = part.summaries[name]
    shared = {'run': name, 'seeds': len(run.seeds), 'remark': run.remark}
    for key in metrics.METRICS:
      value = summary[key]
      low, high = value['interval_95'] or (None, None)
      yield shared | {
        'measure': key,
        'n': summary['n'],
        'value': value['mean'],
        'std': value['std'],
        'low': low,
        'high': high,
      }
    for class_, clips in summary['clips_per_class'].items():
      for key in metrics.PER_CLASS:
        yield shared | {
          'measure': key,
          'class': class_,
          'n': clips,
          'value': summary[f'{key}_per_class'][class_],
        }


def _compared(part: Part) -> Iterator[dict[str, Any]]:
  """Rows of the CSV file about two runs."""
  for (name, reference), pair in part.pairs.items():
    shared = {
      'run': name,
      'against': reference,
      'n': part.summaries[name]['n'],
      'seeds': pair.seeds,
      'remark': part.runs[name].remark,
    }
    for key, difference in pair.metrics.items():
      low, high = difference.interval or (None, None)
      yield shared | {
        'measure': key,
        'value': difference.value,
        'low': low,
        'high': high,
        'test': 'permutation',
        'p': difference.p,
        'p_holm': difference.p_holm,
      }
    test = pair.mcnemar
    yield shared | {
      'measure': 'clips',
      'value': test.only_first - test.only_second,
      'only_run_right': test.only_first,
      'only_against_right': test.only_second,
      'test': 'mcnemar',
      'p': test.p,
      'p_holm': pair.mcnemar_p_holm,
    }


def _csv(parts: Sequence[Part], left_out: Mapping[str, int]) -> str:
  """One tidy table with full precision; cells that do not apply are empty.

  `left_out` is the number of clips of each run that are not in every run.
  """
  file = io.StringIO()
  writer = csv.DictWriter(file, _CSV_COLUMNS, lineterminator='\n')
  writer.writeheader()
  for part in parts:
    for row in itertools.chain(_measures(part), _compared(part)):
      shared = {
        'dataset': part.dataset or 'all',
        'classes': len(part.summaries[row['run']]['clips_per_class']),
        'folds': part.folds,
        'left_out': left_out[row['run']],
      }
      writer.writerow(escape.cells(shared | row))
  return file.getvalue().rstrip()


def table(
  runs: Mapping[str, Predictions],
  format: str = 'text',
  *,
  against: str = '',
  all_pairs: bool = False,
  by_dataset: bool = False,
  common: bool = False,
) -> str:
  """Metrics with intervals, results by class, and paired differences of runs.

  Args:
    runs: name -> run; on the same clips, unless `common`.
    format: one of `FORMATS`.
    against: name of the reference run; '' for the first.
    all_pairs: compare every run with every other.
    by_dataset: add the same tables for each data set.
    common: leave out clips that are not in every run.

  Returns:
    The tables as text.

  Raises:
    UserError: the runs are not on the same clips; `against` or `format` is
      unknown; there are too many classes.
  """
  if format not in FORMATS:
    raise errors.UserError(
      f'format {format!r}: expected one of {", ".join(FORMATS)}.'
    )
  clips = {name: len(run.clips) for name, run in runs.items()}
  runs, notes = predictions.align(runs, common)
  significance.check_size(runs)
  parts = list(
    parts_of(runs, pairs_of(list(runs), against, all_pairs), by_dataset)
  )
  if format == 'csv':
    left_out = {
      name: clips[name] - len(run.clips) for name, run in runs.items()
    }
    return _csv(parts, left_out)
  shown = []
  for part in parts:
    title = ', '.join([*remarks(runs), part.dataset or 'all clips'])
    shown += [_runs_table(part, title), _classes_table(part, title)]
    if part.pairs:
      shown.append(_pairs_table(part, title))
  return tables.render(shown, notes + _notes(parts), format)


def remarks(runs: Mapping[str, Predictions]) -> Iterator[str]:
  """Warnings for titles, with the runs' names unless they apply to all."""
  for remark in sorted({run.remark for run in runs.values()} - {''}):
    names = [name for name, run in runs.items() if run.remark == remark]
    of = '' if len(names) == len(runs) else f' ({", ".join(names)})'
    yield remark + of


def _paths(arguments: Sequence[str]) -> dict[str, pathlib.Path]:
  """Names of the runs: as given, the folder's, or the path if two are equal."""
  found = []
  for argument in arguments:
    name, equals, rest = argument.partition('=')
    path = pathlib.Path(argument)
    given = bool(equals) and not path.exists()
    if given:
      path = pathlib.Path(rest)
    else:
      name = (path.parent if path.is_file() else path).resolve().name
    found.append((name, given, path))
  names, named = [name for name, _, _ in found], {}
  for name, given, path in found:
    if not given and names.count(name) > 1:
      name = str(path)
    if name in named:
      raise errors.UserError(
        f'Two runs are named {name!r}. Write NAME=RUN, with another NAME.'
      )
    named[escape.line(name)] = path
  return named


def main(argv: Sequence[str] | None = None) -> None:
  """The command `dianet compare`.

  Args:
    argv: of the command line; None for those of the process.

  Raises:
    UserError: see `predictions.load` and `table`; or the output cannot be
      written.
  """
  parser = argparse.ArgumentParser(
    prog='dianet compare',
    description='Compares runs by their predictions.csv.',
  )
  parser.add_argument(
    'runs', nargs='+', metavar='[NAME=]RUN', help='workdir or predictions.csv'
  )
  pairs = parser.add_mutually_exclusive_group()
  pairs.add_argument(
    '--against', default='', help='reference run (default: the first)'
  )
  pairs.add_argument(
    '--all_pairs', action='store_true', help='compare all pairs of runs'
  )
  parser.add_argument(
    '--by_dataset', action='store_true', help='also compare by data set'
  )
  parser.add_argument(
    '--common', action='store_true', help='use only clips that all runs have'
  )
  parser.add_argument('--format', default='text', choices=FORMATS)
  parser.add_argument('--output', default='', help='write to this file')
  options = vars(parser.parse_args(argv))
  paths, output = options.pop('runs'), options.pop('output')
  # Progress goes to stderr: stdout may be a file or another program.
  with progress.waiting('Comparing', progress.error_console):
    runs = {name: load(path) for name, path in _paths(paths).items()}
    text = table(runs, **options)
  if output:
    _write(pathlib.Path(output), text)
  else:
    print(text)


def _write(path: pathlib.Path, text: str) -> None:
  try:
    path.write_text(text + '\n', encoding='utf-8')
  except OSError as error:
    raise errors.UserError(
      f'--output={path} cannot be written ({error.strerror}).'
    ) from error
