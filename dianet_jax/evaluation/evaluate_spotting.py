"""Evaluates spotted intervals: dianet evaluate-spotting INTERVALS TRUTH.

Instead of TRUTH, --dataset=samm_long --manual_dir=DIR selects a data set.

Exit status: 0, or 2 for an invalid command line.
"""

import argparse
from collections.abc import Mapping, Sequence
import json
import math
import pathlib
import sys
from typing import Any

from dianet_jax.core import errors
from dianet_jax.evaluation import (
  spotting,
  spotting_files,
  spotting_reference,
  tables,
  thresholds,
)

_HEADER = (
  'kind', 'true', 'TP', 'FP', 'missed', 'precision', 'recall', 'F1', '95 %',
  'FP a minute', '95 %', 'apex error', 'AP',
)  # fmt: skip
_COUNTS = ('true_positives', 'false_positives', 'misses')
_TITLES = {
  'as_given': 'All intervals as they are in the file',
  'leave_one_subject_out': (
    'Intervals above a threshold that is chosen on the other subjects'
  ),
  'oracle': (
    'ORACLE: the threshold that is best on the test subjects. Not a result'
  ),
}


def evaluate(videos: Sequence[spotting.Video]) -> dict[str, Any]:
  """Computes all metrics, as values for JSON.

  Args:
    videos: with truth and predictions.

  Returns:
    `videos`, `subjects`, `minutes`; `silent`: the videos without an expression
    and their false positives; for each set of intervals `spotting.figures` by
    kind, and `recognition`. The sets are `as_given` and, if every prediction
    has a score and there are at least two subjects, `leave_one_subject_out` and
    `oracle`. `reference`: `spotting_reference.figures`; `thresholds`.

  >>> from dianet_jax.clips import intervals
  >>> truth = spotting.Expression(intervals.Interval(0, 5, 9, 'micro'))
  >>> found = spotting.Expression(intervals.Interval(1, 5, 9, 'micro', 3.0))
  >>> video = spotting.Video('v1', 's1', 3000, 50.0, (truth,), (found,))
  >>> result = evaluate([video])
  >>> result['as_given']['micro']['f1'], result['minutes']
  (1.0, 1.0)
  """
  silent = [video for video in videos if not video.truth]
  result: dict[str, Any] = {
    'videos': len(videos),
    'subjects': len({video.subject for video in videos}),
    'minutes': sum(video.minutes for video in videos),
    'silent': {
      'videos': len(silent),
      'minutes': sum(video.minutes for video in silent),
      'false_positives': sum(len(video.found) for video in silent),
      'videos_with_false_positives': sum(bool(v.found) for v in silent),
    },
    'as_given': _of(videos),
    'reference': spotting_reference.figures(videos),
  }
  scores = [f.interval.score for video in videos for f in video.found]
  if scores and not any(map(math.isnan, scores)) and result['subjects'] > 1:
    each, oracle = thresholds.chosen(videos)
    everyone = dict.fromkeys(each, oracle)
    result['thresholds'] = each
    for name, limits in (('leave_one_subject_out', each), ('oracle', everyone)):
      result[name] = _of(thresholds.apply(videos, limits))
  return _without_nan(result)


def _of(videos: Sequence[spotting.Video]) -> dict[str, Any]:
  found: dict[str, Any] = {
    kind: spotting.figures(videos, kind) for kind in spotting.ROWS
  }
  if _is_named(videos):
    pairs = [
      pair
      for video in videos
      for pair in spotting.outcome(video, spotting.BOTH).pairs
    ]
    named: dict[str, Any] = spotting.recognition(pairs)
    named['strs'] = found[spotting.BOTH]['f1'] * named['f1']
    found['recognition'] = named
  return found


def _is_named(videos: Sequence[spotting.Video]) -> bool:
  """Whether predictions and truth name emotions."""
  return all(
    any(item.emotion for video in videos for item in getattr(video, side))
    for side in ('truth', 'found')
  )


def _without_nan(value: Any) -> Any:
  """NaN becomes None and infinity text, because JSON has neither."""
  if isinstance(value, dict):
    return {key: _without_nan(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_without_nan(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None if math.isnan(value) else str(value)
  return value


def _number(value: float | None) -> str:
  return 'none' if value is None else tables.number(value)


def _interval(ends: Sequence[float] | None) -> str:
  return '' if ends is None else tables.interval(ends)


def _row(kind: str, found: Mapping[str, Any]) -> list[str]:
  right, wrong, missed = (found[name] for name in _COUNTS)
  apex = found['apex_error_seconds']
  error = 'none'
  if apex is not None:
    error = f'{1000 * apex:.0f} ms, {found["apex_error_frames"]:.1f} frames'
  return [
    kind,
    *map(str, (right + missed, right, wrong, missed)),
    *(_number(found[name]) for name in ('precision', 'recall', 'f1')),
    _interval(found['f1_95']),
    _number(found['false_positives_per_minute']),
    _interval(found['false_positives_per_minute_95']),
    error,
    _number(found['ap']),
  ]


def _named(found: Mapping[str, Any]) -> str:
  return (
    f'Recognition of {found["n"]} true positives: F1'
    f' {_number(found["f1"])}, UF1 {_number(found["uf1"])}, UAR'
    f' {_number(found["uar"])}; STRS {_number(found["strs"])}.'
  )


def _strict_text(result: Mapping[str, Any]) -> list[str]:
  """A table of each set of intervals, and of videos without expressions."""
  lines = []
  for name, title in _TITLES.items():
    if name in result:
      rows = [_row(kind, result[name][kind]) for kind in spotting.ROWS]
      named = result[name].get('recognition')
      notes = [_named(named)] if named else []
      table = tables.Table(title, _HEADER, rows)
      lines.append(tables.render([table], notes))
  if 'oracle' not in result:
    lines.append(
      'No threshold is chosen: that needs scores and at least two subjects.'
    )
  silent = result['silent']
  lines.append(
    f'Videos without an expression: {silent["videos"]},'
    f' {silent["minutes"]:.1f} minutes; {silent["false_positives"]} false'
    f' positives in {silent["videos_with_false_positives"]} of them.'
  )
  return lines


def _reference_text(found: Mapping[str, Any]) -> list[str]:
  header = ('', 'TP', 'FP', 'missed', 'precision', 'recall', 'F1')
  row = [
    'both',
    *(str(found[name]) for name in _COUNTS),
    *(_number(found[name]) for name in ('precision', 'recall', 'f1')),
  ]
  title = (
    'All intervals by the rules of the published scorer, with its defects'
    ' (docs/spotting_evaluation.md)'
  )
  notes = []
  if found['recognition']:
    named = found['recognition']
    notes = [
      f'Recognition: F1 {_number(named["f1"])}, UF1 {_number(named["uf1"])},'
      f' "UAR" {_number(named["uar"])}; STRS {_number(named["strs"])}.'
    ]
  return [tables.render([tables.Table(title, header, [row])], notes)]


def differ(result: Mapping[str, Any]) -> bool:
  """Whether the published scorer and strict matching count differently.

  The published scorer ignores a subject without a prediction.

  >>> from dianet_jax.clips import intervals
  >>> truth = spotting.Expression(intervals.Interval(0, 5, 9, 'micro'))
  >>> found = spotting.Expression(intervals.Interval(1, 5, 9, 'micro', 3.0))
  >>> video = spotting.Video('v1', 's1', 3000, 50.0, (truth,), (found,))
  >>> missed = spotting.Video('v2', 's2', 100, 50.0, (truth,))
  >>> differ(evaluate([video])), differ(evaluate([video, missed]))
  (False, True)
  """
  strict, reference = result['as_given'][spotting.BOTH], result['reference']
  return any(strict[name] != reference[name] for name in _COUNTS)


def text(result: Mapping[str, Any], matching: str = 'strict') -> str:
  """Formats a result for a terminal.

  Args:
    result: see `evaluate`.
    matching: 'strict', or 'reference' for the published scorer's rules alone.

  >>> from dianet_jax.clips import intervals
  >>> truth = spotting.Expression(intervals.Interval(0, 5, 9, 'micro'))
  >>> found = spotting.Expression(intervals.Interval(1, 5, 9, 'micro', 3.0))
  >>> video = spotting.Video('v1', 's1', 3000, 50.0, (truth,), (found,))
  >>> print(text(evaluate([video]), 'reference').splitlines()[0])
  1 videos of 1 subjects, 1.0 minutes.
  """
  parts = [
    f'{result["videos"]} videos of {result["subjects"]} subjects,'
    f' {result["minutes"]:.1f} minutes.'
  ]
  if matching == 'strict':
    parts += _strict_text(result)
  if matching == 'reference' or differ(result):
    parts += _reference_text(result['reference'])
  return '\n\n'.join(parts)


def classes_of(text: str) -> dict[str, str]:
  """Parses a mapping of emotions to classes.

  Args:
    text: 'emotion=class,emotion=class,...'.

  Returns:
    Emotion in lower case -> class.

  Raises:
    UserError: the text has another form.

  >>> classes_of('Happiness=positive,disgust=negative')
  {'happiness': 'positive', 'disgust': 'negative'}
  """
  pairs = [part.split('=') for part in text.split(',') if part]
  if any(len(pair) != 2 or not all(pair) for pair in pairs):
    raise errors.UserError(
      f'--classes={text}: expected emotion=class,emotion=class,...'
    )
  return {emotion.strip().casefold(): name.strip() for emotion, name in pairs}


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='dianet evaluate-spotting',
    description='Compares spotted expressions with annotated ones, over all'
    ' videos.',
  )
  parser.add_argument(
    'intervals',
    help='intervals.csv of `dianet spot`, or predictions.csv of `dianet'
    ' predict`',
  )
  parser.add_argument(
    'truth',
    nargs='?',
    help=f'folder with {spotting_files.VIDEOS} and {spotting_files.TRUTH}',
  )
  parser.add_argument(
    '--matching',
    choices=('strict', 'reference'),
    default='strict',
    help='strict (default): all videos, one-to-one matching; reference: like'
    ' the published scorer, with its defects',
  )
  parser.add_argument(
    '--classes',
    default='',
    help='classes of the network for annotated emotions, such as'
    ' happiness=positive,disgust=negative',
  )
  parser.add_argument(
    '--dataset',
    default='',
    help='data set of long videos, instead of the folder',
  )
  parser.add_argument(
    '--manual_dir', default='', help='folder of the raw data set'
  )
  parser.add_argument(
    '--json', action='store_true', help='print the metrics as JSON'
  )
  return parser


def main(arguments: Sequence[str]) -> None:
  """The command `dianet evaluate-spotting`.

  Args:
    arguments: of the command line, without the program's name.

  Raises:
    UserError: files cannot be read, or do not match.
  """
  parser = _parser()
  options = parser.parse_args(arguments)
  if bool(options.truth) == bool(options.dataset):
    parser.error('expected either a folder with the truth, or --dataset')
  if options.dataset:
    known = f'--dataset={options.dataset}'
    videos = spotting_files.of_data_set(options.dataset, options.manual_dir)
  else:
    truth = pathlib.Path(options.truth).expanduser()
    known = str(truth / spotting_files.VIDEOS)
    videos = spotting_files.read_truth(truth)
  found = pathlib.Path(options.intervals).expanduser()
  videos = spotting_files.with_predictions(videos, found, known)
  videos = spotting_files.renamed(videos, classes_of(options.classes))
  result = evaluate(videos)
  if options.json:
    json.dump(result, sys.stdout, indent=1)
    print()
    return
  print(text(result, options.matching))
