"""Writes predictions: prediction.json, predictions.csv and report.html.

The template page.html.j2 has the text of the page; this module has its values.
"""

from collections.abc import Iterator, Mapping, Sequence
import csv
import dataclasses
import pathlib
from typing import Any, NamedTuple

import cv2
import numpy as np

from dianet_jax.clips import intervals, segments
from dianet_jax.core import curve as curve_lib
from dianet_jax.core import escape, files, html
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.motion import display

# Browsers cannot show a page with the pictures of many more clips.
MOST_SHOWN = 50
_PROBABILITY = 'p_'


class Column(NamedTuple):
  """A column of `predictions.csv`, and a key of each clip in the JSON file."""

  name: str
  unit: str
  range: str
  meaning: str


def columns(classes: Sequence[str]) -> list[Column]:
  """The columns of `predictions.csv`, in order.

  Args:
    classes: names of the bundle's classes.

  >>> [column.name for column in columns(['negative', 'positive'])][:4]
  ['clip', 'prediction', 'p_negative', 'p_positive']
  """
  number, second = 'frame number', 'seconds'
  return [
    Column('clip', '', '', 'path of the video or folder'),
    Column('prediction', '', 'a class', "'' if there is an error"),
    *(
      Column(f'{_PROBABILITY}{name}', '', '0 to 1', f'calibrated, of {name}')
      for name in classes
    ),
    Column('onset', number, 'from 0', 'first frame of the clip'),
    Column('apex', number, 'from 0', 'frame of the largest displacement'),
    Column('offset', number, 'from 0', 'last frame of the clip'),
    Column('onset_seconds', second, 'from 0', 'time since the first frame'),
    Column('apex_seconds', second, 'from 0', 'likewise'),
    Column('offset_seconds', second, 'from 0', 'likewise'),
    Column('frames_per_second', '1/second', 'above 0', 'from the median step'),
    Column(
      'apex_source', '', 'given, spotted or middle', 'how the apex was found'
    ),
    Column('kind', '', 'micro or macro', "'' if the clip was not spotted"),
    Column('spotting_score', "the spotter's", 'above 0', 'not a probability'),
    Column('warnings', '', '', 'reasons to trust it less, separated by ;'),
    Column('error', '', '', "why there is no prediction; '' if there is one"),
  ]


@dataclasses.dataclass(frozen=True)
class Result:
  """The result of one source: a row, and pictures for the page.

  Attributes:
    row: column -> value.
    film: (title, source of an <img>) of onset, apex and offset.
    motion: the same for the inputs of the model.
    warnings: as in the row, as separate texts.
    regions: (region of the face, share of the evidence 0..1, text); () if the
      clip is not explained.
    maps: (title, source of an <img>) of attribution maps.
    curve: difference of each frame from the onset; None without a clip.
    failed: whether there was an error; finding no expression is not an error.
  """

  row: Mapping[str, Any]
  film: Sequence[tuple[str, str]] = ()
  motion: Sequence[tuple[str, str]] = ()
  warnings: Sequence[str] = ()
  regions: Sequence[tuple[str, float, str]] = ()
  maps: Sequence[tuple[str, str]] = ()
  curve: curve_lib.Curve | None = None
  failed: bool = False

  def bars(self, classes: Sequence[str]) -> list[tuple[str, float, str]]:
    """(Class, probability 0..1, its text), the most probable first.

    >>> result = Result({'p_negative': 0.2, 'p_positive': 0.8})
    >>> result.bars(['negative', 'positive'])
    [('positive', 0.8, '0.80'), ('negative', 0.2, '0.20')]
    """
    probs = [(name, self.row[_PROBABILITY + name]) for name in classes]
    probs.sort(key=lambda pair: -pair[1])
    return [(name, prob, f'{prob:.2f}') for name, prob in probs]


def of_error(name: str, error: str) -> Result:
  """The result of a source that could not be predicted.

  Args:
    name: of the source.
    error: the message.

  >>> dict(of_error('clip.mp4', 'no face was found').row)
  {'clip': 'clip.mp4', 'error': 'no face was found'}
  """
  return Result({'clip': name, 'error': error}, failed=True)


def of_no_expression(name: str, seconds: float) -> Result:
  """The result of a long video in which no expression was spotted.

  Args:
    name: of the video.
    seconds: its duration.

  >>> of_no_expression('talk.mp4', 61.0).row['error']
  'no expression was spotted in 61.0 seconds'
  """
  text = f'no expression was spotted in {seconds:.1f} seconds'
  return Result({'clip': name, 'error': text})


def of_prediction(
  bundle: bundle_lib.Bundle,
  prediction: bundle_lib.Prediction,
  explained: bool = True,
  spotted: intervals.Interval | None = None,
) -> Result:
  """The result of a clip that was predicted.

  Args:
    bundle: that predicted it.
    prediction: the prediction.
    explained: whether to explain it, which takes several predictions.
    spotted: the interval, if a spotter found the clip.

  >>> import dianet_jax
  >>> black, steps = np.zeros((20, 56, 56, 3), np.uint8), np.arange(20)
  >>> clip = segments.Clip('c', black, steps, steps / 100, 9, 'given', ())
  >>> bundle = dianet_jax.load_bundle()
  >>> prediction = bundle.predict_clip(clip)
  >>> row = of_prediction(bundle, prediction, explained=False).row
  >>> row['clip'], row['offset'], row['offset_seconds'], row['error']
  ('c', 19, 0.19, '')
  """
  clip = prediction.clip
  row: dict[str, Any] = {
    'clip': clip.name,
    'prediction': prediction.label,
    'error': '',
  }
  for name, probability in prediction.probabilities.items():
    row[_PROBABILITY + name] = round(probability, 6)
  for key in ('onset', 'apex', 'offset'):
    index = getattr(clip, key)
    row[key] = int(clip.numbers[index])
    row[f'{key}_seconds'] = round(float(clip.seconds[index]), 6)
  row['frames_per_second'] = round(clip.frames_per_second, 3)
  row['apex_source'] = clip.apex_source
  if spotted is not None:
    row['kind'] = spotted.kind
    row['spotting_score'] = round(spotted.score, 4)
  row['warnings'] = '; '.join(clip.warnings)
  film = [
    (
      f'{key}, frame {row[key]}',
      display.source(clip.frames[getattr(clip, key)], '.jpg'),
    )
    for key in ('onset', 'apex', 'offset')
  ]
  motion = list(_motion(bundle, prediction))
  drawn = Result(row, film, motion, clip.warnings, curve=_curve(clip))
  if not explained:
    return drawn
  why = bundle.explain(prediction)
  maps = [
    (title, display.source(pixels, '.jpg'))
    for title, pixels in why.pictures(clip.frames[clip.apex])
  ]
  return dataclasses.replace(drawn, regions=why.bars(), maps=maps)


def _curve(clip: segments.Clip) -> curve_lib.Curve:
  far = [cv2.absdiff(frame, clip.frames[0]).mean() for frame in clip.frames]
  return curve_lib.Curve(
    'Mean difference from the onset frame, grey levels',
    clip.seconds,
    np.array(far),
    marks=[
      (float(clip.seconds[getattr(clip, key)]), key)
      for key in ('onset', 'apex', 'offset')
    ],
  )


def _motion(
  bundle: bundle_lib.Bundle, prediction: bundle_lib.Prediction
) -> Iterator[tuple[str, str]]:
  for name, channels in bundle.channels.items():
    if channels:
      titles = [f'{bundle.feed[name]}, {v}' for v in bundle.views[name]]
      for title, pixels in display.pictures(
        prediction.inputs[name], titles, channels
      ):
        yield title, display.source(pixels)


def write(
  folder: pathlib.Path, bundle: bundle_lib.Bundle, results: Sequence[Result]
) -> None:
  """Writes the three files; each replaces an older one only when complete.

  Args:
    folder: is made if it does not exist.
    bundle: that predicted the clips.
    results: of the sources, in order.

  Raises:
    OSError: the folder cannot be written.

  >>> import tempfile
  >>> import dianet_jax
  >>> results = [of_error('clip.mp4', 'no face was found')]
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   write(pathlib.Path(folder), dianet_jax.load_bundle(), results)
  ...   sorted(path.name for path in pathlib.Path(folder).iterdir())
  ['prediction.json', 'predictions.csv', 'report.html']
  """
  folder.mkdir(parents=True, exist_ok=True)
  named = columns(bundle.classes)
  rows = [
    {column.name: result.row.get(column.name, '') for column in named}
    for result in results
  ]
  files.write_json(
    folder / 'prediction.json',
    {
      'bundle': {
        'name': bundle.name,
        'classes': list(bundle.classes),
        'result': bundle.facts['result'],
        'training': bundle.facts['training'],
      },
      'columns': [column._asdict() for column in named],
      'clips': rows,
    },
  )
  aside = folder / 'predictions.tmp'
  with aside.open('w', newline='', encoding='utf-8') as file:
    writer = csv.DictWriter(file, [column.name for column in named])
    writer.writeheader()
    writer.writerows(map(escape.cells, rows))
  aside.replace(folder / 'predictions.csv')
  html.write(folder / 'report.html', page(bundle, results))


def page(bundle: bundle_lib.Bundle, results: Sequence[Result]) -> str:
  """The report as one self-contained HTML page.

  Args:
    bundle: that predicted the clips.
    results: of the sources, in order; pictures of the first 50 are shown.

  >>> import dianet_jax
  >>> error = of_error('clip.mp4', 'no face was found')
  >>> 'no face was found' in page(dianet_jax.load_bundle(), [error])
  True
  """
  return html.template('dianet_jax.inference', 'page.html.j2').render(
    bundle=bundle,
    training=bundle.facts['training'],
    result=bundle.facts['result'],
    shown=results[:MOST_SHOWN],
    more=max(0, len(results) - MOST_SHOWN),
  )
