"""Writes the results of spotting.

The files are intervals.csv, signal.csv, spotting.json and report.html. The
template spotting.html.j2 has the text of the page; this module has its values.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import csv
import dataclasses
import itertools
import pathlib
from typing import Any

import numpy as np

from dianet_jax.clips import expressions, intervals
from dianet_jax.core import curve, escape, files, html
from dianet_jax.inference import spotting
from dianet_jax.motion import display

# Browsers cannot show a page with many more pictures.
_MOST_FILMS = 300
# Curves are cut off, because blinks are ten times as high as expressions.
_MOST_THRESHOLDS = 4.0


def signal_columns(scores: Iterable[str]) -> dict[str, str]:
  """Describes the columns of `signal.csv`.

  Args:
    scores: names of the spotter's scores: regions or kinds.

  Returns:
    Name of each column -> its meaning and unit.

  >>> list(signal_columns(['brows', 'mouth']))
  ['video', 'frame', 'seconds', 'face', 'brows', 'mouth', 'state']
  """
  return {
    'video': 'path of the video or folder, as on the command line',
    'frame': 'frame number from 0; one frame per step of about 20 ms',
    'seconds': 'time since the first frame',
    'face': '1 if a face is detected and its signal is known, else 0',
    **{name: f"score of {name}, 0 or more, in the spotter's unit"
       for name in scores},
    'state': 'micro, macro or the reason of exclusion; empty for neither',
  }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Result:
  """The result of one video.

  Attributes:
    name: of the video.
    spotted: intervals and scores; None if there was an error.
    films: onset of an interval -> (title, source of an <img>) of the images of
      its filmstrip.
    video: file name of the annotated video; '' for none.
    error: message if the video could not be spotted, else ''.
  """

  name: str
  spotted: spotting.Spotted | None = None
  films: Mapping[int, Sequence[tuple[str, str]]] = dataclasses.field(
    default_factory=dict
  )
  video: str = ''
  error: str = ''


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Metrics of spotting in videos with annotated expressions.

  Attributes:
    figures: the metrics, ready for JSON.
    text: the same as tables for a terminal.
    notes: limits of their validity, one sentence each.
  """

  figures: Mapping[str, Any]
  text: str
  notes: Sequence[str]


def films(
  spotted: spotting.Spotted, strips: spotting.Filmstrips
) -> dict[int, list[tuple[str, str]]]:
  """Filmstrips for the page.

  Args:
    spotted: the result of the video.
    strips: with the frames of all its intervals.

  Returns:
    Onset of each interval -> (title, source of an <img>) of its frames.

  >>> spotted = spotting.Spotted(
  ...   'v1', 50.0, 'movement', 4.0, 'noise', np.arange(9), np.arange(9) / 50,
  ...   np.ones(9, bool), {'mouth': np.full(9, 6.0)},
  ...   (intervals.Interval(2, 4, 6, 'micro', 6.0, 'mouth'),), (), (),
  ... )
  >>> strips = spotting.Filmstrips(spotted.found)
  >>> for number in range(9):
  ...   strips.add(number, lambda: np.zeros((64, 64, 3), np.uint8))
  >>> [title for title, _ in films(spotted, strips)[2]][:3]
  ['onset frame 2, 0.04 s', 'frame 3, 0.06 s', 'apex frame 4, 0.08 s']
  """
  times, found = spotted.times, {}
  for one in spotted.found:
    names = {one.onset: 'onset', one.offset: 'offset', one.apex: 'apex'}
    found[one.onset] = [
      (
        f'{names.get(number, "")} frame {number}'.strip()
        + (f', {times[number]:.2f} s' if number in times else ''),
        display.source(image, '.jpg'),
      )
      for number, image in strips.of(one)
    ]
  return found


def write_tables(folder: pathlib.Path, results: Sequence[Result]) -> None:
  """Writes `intervals.csv` and `signal.csv`.

  Each replaces an older file only when it is complete.

  Args:
    folder: exists.
    results: of the videos, in order.

  Raises:
    OSError: the folder cannot be written.

  >>> import tempfile
  >>> spotted = spotting.Spotted(
  ...   'v1', 50.0, 'movement', 4.0, 'noise', np.arange(9), np.arange(9) / 50,
  ...   np.ones(9, bool), {'mouth': np.full(9, 6.0)},
  ...   (intervals.Interval(2, 4, 6, 'micro', 6.0, 'mouth'),), (), (),
  ... )
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   write_tables(pathlib.Path(folder), [Result('v1', spotted)])
  ...   text = (pathlib.Path(folder) / 'signal.csv').read_text()
  >>> text.splitlines()[2:4]
  ['v1,1,0.02,1,6.0,', 'v1,2,0.04,1,6.0,micro']
  """
  spotted = {r.name: r.spotted for r in results if r.spotted is not None}
  intervals.write(
    folder / 'intervals.csv',
    {name: one.found for name, one in spotted.items()},
    {name: one.times for name, one in spotted.items()},
  )
  _write_signal(folder / 'signal.csv', spotted)


def write_report(
  folder: pathlib.Path,
  spotter: str,
  unit: str,
  threshold: float,
  results: Sequence[Result],
  evaluation: Evaluation | None = None,
) -> None:
  """Writes `spotting.json` and `report.html`.

  Each replaces an older file only when it is complete.

  Args:
    folder: exists.
    spotter: a row of `spotters.SPOTTERS`.
    unit: unit of the score.
    threshold: lowest score of an interval.
    results: of the videos, in order.
    evaluation: of videos with annotated expressions; None for others.

  Raises:
    OSError: the folder cannot be written.

  >>> import json
  >>> import tempfile
  >>> results = [Result('v1.mp4', error='v1.mp4 cannot be read')]
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   write_report(pathlib.Path(folder), 'movement', 'noise', 4.0, results)
  ...   held = json.loads((pathlib.Path(folder) / 'spotting.json').read_text())
  >>> held['videos']
  [{'video': 'v1.mp4', 'error': 'v1.mp4 cannot be read'}]
  """
  files.write_json(
    folder / 'spotting.json',
    {
      'spotter': spotter,
      'threshold': threshold,
      'unit': unit,
      'columns': intervals.COLUMNS,
      'reasons': expressions.REASONS,
      'evaluation': evaluation and evaluation.figures,
      'notes': list(evaluation.notes) if evaluation else [],
      'videos': [_json_entry(result) for result in results],
    },
  )
  template = html.template('dianet_jax.inference', 'spotting.html.j2')
  text = template.render(
    spotter=spotter,
    unit=unit,
    threshold=threshold,
    evaluation=evaluation,
    films=list(itertools.islice(_films(results), _MOST_FILMS)),
    most=_MOST_FILMS,
    found=sum(len(r.spotted.found) for r in results if r.spotted),
    videos=[_page_entry(result) for result in results],
  )
  html.write(folder / 'report.html', text)


def _write_signal(
  path: pathlib.Path, spotted: Mapping[str, spotting.Spotted]
) -> None:
  temporary = path.with_suffix('.tmp')
  with temporary.open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    # All videos have the scores of the same spotter.
    scores = list(next(iter(spotted.values())).scores) if spotted else []
    writer.writerow(signal_columns(scores))
    for video, one in spotted.items():
      columns = zip(
        one.numbers.tolist(),
        one.seconds.round(6).tolist(),
        one.face.astype(int).tolist(),
        *(one.scores[name].round(3).tolist() for name in scores),
        _states(one),
      )
      cell = escape.cell(video)
      writer.writerows([cell, *row] for row in columns)
  temporary.replace(path)


def _states(spotted: spotting.Spotted) -> list[str]:
  states = np.full(len(spotted.numbers), '', object)
  for one in spotted.excluded:
    states[_between(spotted, one)] = one.reason
  for one in spotted.found:
    states[_between(spotted, one)] = one.kind
  return states.tolist()


def _between(spotted, one) -> slice:
  first, last = np.searchsorted(spotted.numbers, [one.onset, one.offset + 1])
  return slice(int(first), int(last))


def _json_entry(result: Result) -> dict[str, Any]:
  """The entry of a video in spotting.json."""
  spotted = result.spotted
  if spotted is None:
    return {'video': result.name, 'error': result.error}
  rows = [
    intervals.row(result.name, one, spotted.times) for one in spotted.found
  ]
  for row in rows:
    del row['video']
  return {
    'video': result.name,
    'error': '',
    'seconds': round(float(spotted.seconds[-1]), 6),
    'frames_per_second': round(spotted.fps, 3),
    'face': round(float(spotted.face.mean()), 4),
    'intervals': rows,
    'excluded': [dataclasses.asdict(one) for one in spotted.excluded],
    'warnings': list(spotted.warnings),
  }


def _page_entry(result: Result) -> dict[str, Any]:
  """The values of a video in the page."""
  spotted = result.spotted
  if spotted is None:
    return {'name': result.name, 'error': result.error}
  kinds = [one.kind for one in spotted.found]
  return {
    'name': result.name,
    'error': '',
    'seconds': float(spotted.seconds[-1] - spotted.seconds[0]),
    'fps': spotted.fps,
    'micro': kinds.count('micro'),
    'macro': kinds.count('macro'),
    'video': result.video,
    'warnings': spotted.warnings,
    'curves': list(_curves(spotted)),
    'excluded': [
      ['from', 'to', 'reason', ''],
      *(
        [
          f'{spotted.times.get(one.onset, np.nan):.2f} s',
          f'{spotted.times.get(one.offset, np.nan):.2f} s',
          one.reason,
          expressions.REASONS[one.reason],
        ]
        for one in spotted.excluded
      ),
    ],
  }


def _films(
  results: Sequence[Result],
) -> Iterator[tuple[str, str, Sequence[tuple[str, str]]]]:
  """(Title, video, filmstrip) of all intervals, by descending score."""
  found = [
    (one, result.spotted.times, result)
    for result in results
    if result.spotted is not None
    for one in result.spotted.found
  ]
  for one, times, result in sorted(found, key=lambda item: -item[0].score):
    title = ', '.join(filter(None, [one.kind, one.region, one.emotion]))
    title += f', {times[one.onset]:.2f} to {times[one.offset]:.2f} s'
    title += f', score {one.score:.3g}'
    yield title, result.name, result.films.get(one.onset, ())


def _curves(spotted: spotting.Spotted) -> Iterator[curve.Curve]:
  most = _MOST_THRESHOLDS * spotted.threshold
  times = spotted.times
  for region, scores in spotted.scores.items():
    yield curve.Curve(
      f'{region}: score ({spotted.unit}), cut off at {most:.3g}',
      spotted.seconds,
      np.minimum(scores, most),
      # Movements of only the eyes are never listed.
      None if region == 'eyes' else spotted.threshold,
      intervals=[
        (times[one.onset], times[one.offset], f'{one.kind} {one.score:.3g}')
        for one in spotted.found
        if region in (one.region, one.kind)
      ],
    )
