"""Checks raw data sets of long videos: dianet check --dataset=casme_sq."""

import json
import os
from typing import Any

from tfds_builders import long_videos
from tfds_builders.check_report import BLOCKED, DIFFERS, READY

_MOST_LISTED = 20


def check(name: str, manual_dir: str | os.PathLike[str]) -> dict[str, Any]:
  """Checks a raw data set of long videos.

  Args:
    name: one of `long_videos.SETS`.
    manual_dir: folder of the raw data set.

  Returns:
    A report, ready for JSON: `verdict`, `dataset`, `counts` and `expected` (see
    `long_videos.counts`), `simulated`, `spreadsheet`, `folders`, `notes`,
    `problems`, `next_commands`.

  Raises:
    UserError: nothing is found, or the spreadsheet cannot be read.
  """
  data_set = long_videos.get(name)
  found = long_videos.find(data_set, manual_dir)
  counts = long_videos.counts(found)
  expected = {key: getattr(data_set, key) for key in counts}
  problems = list(found.problems)
  if not found.simulated:
    problems += [
      f'{counts[key]} {key}, expected {expected[key]}'
      for key in counts
      if counts[key] != expected[key]
    ]
  verdict = DIFFERS if problems else READY
  if not counts['micro'] + counts['macro']:
    verdict = BLOCKED
  folders = os.path.commonpath([video.folder for video in found.videos])
  return {
    'verdict': verdict,
    'dataset': name,
    'counts': counts,
    'expected': expected,
    'simulated': found.simulated,
    'spreadsheet': str(found.spreadsheet),
    'folders': folders,
    'notes': found.notes,
    'problems': problems,
    'next_commands': [
      f'dianet spot --dataset={name} --manual_dir={manual_dir} --out=spotted',
    ],
  }


def text(report: dict[str, Any]) -> str:
  """Formats a report for a terminal.

  Args:
    report: result of `check`.
  """
  counts, expected = report['counts'], report['expected']
  lines = [
    f'{report["verdict"]}: {report["dataset"]}'
    + ', SIMULATED' * report['simulated'],
    f'  {report["spreadsheet"]}',
    f'  videos in {report["folders"]}',
    *(
      f'  {key:<10} {counts[key]:>5}   expected: {expected[key]}'
      for key in counts
    ),
  ]
  for title in ('problems', 'notes'):
    some = report[title]
    lines += [f'{title}:'] * bool(some)
    lines += [f'  - {line}' for line in some[:_MOST_LISTED]]
    if len(some) > _MOST_LISTED:
      lines.append(f'  and {len(some) - _MOST_LISTED} more')
  return '\n'.join(
    [*lines, 'next:', *map('  {}'.format, report['next_commands'])]
  )


def show(name: str, manual_dir: str, as_json: bool) -> int:
  """Checks a data set and prints the report.

  Args:
    name: one of `long_videos.SETS`.
    manual_dir: folder of the raw data set.
    as_json: whether to print JSON.

  Returns:
    The exit status: 0 if the verdict is READY, else 1.

  Raises:
    UserError: see `check`.
  """
  report = check(name, manual_dir)
  print(json.dumps(report, indent=2) if as_json else text(report))
  return 0 if report['verdict'] == READY else 1
