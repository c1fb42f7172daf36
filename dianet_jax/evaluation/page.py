"""report.html: one self-contained page about a run.

What the page says is in page.html.j2; here is what it is filled with.
"""

from collections.abc import Iterator, Sequence
import io
import json
import pathlib
from typing import Any

import jinja2
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import html, schema
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import metrics, plots, report
from dianet_jax.motion import display
from dianet_jax.training.results import FoldResult

# Clips shown of each class.
_SHOWN = 3


def _template() -> jinja2.Template:
  return html.template('dianet_jax.evaluation', 'page.html.j2')


def _confusion(
  matrices: Sequence, classes: Sequence[str]
) -> Iterator[tuple[str, list[tuple[int, float]], float]]:
  """Of each class: counts with their share of the class, and its recall."""
  counts = np.sum(matrices, axis=0)
  shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  for row, name in enumerate(classes):
    yield name, list(zip(counts[row], shares[row])), shares[row, row]


def _curves(results: Sequence[FoldResult]) -> str:
  """Loss and accuracy in training, one line per fold and their mean, as SVG."""
  with plots.own_settings() as figure:
    drawing = figure.Figure(figsize=(9, 3.2), layout='constrained')
    _draw_curves(drawing, results)
    buffer = io.StringIO()
    drawing.savefig(buffer, format='svg')
  svg = buffer.getvalue()
  return svg[svg.index('<svg') :]


def _draw_curves(drawing: Any, results: Sequence[FoldResult]) -> None:
  panels = drawing.subplots(1, 2)
  for axes, name, unit in zip(panels, ('loss', 'accuracy'), ('nats', 'share')):
    # In a nested selection folds may differ in their epochs: NaN after the end.
    curves = [getattr(result, name) for result in results]
    table = np.full((len(curves), max(map(len, curves))), np.nan)
    for row, curve in zip(table, curves):
      row[: len(curve)] = curve
    epochs = np.arange(1, table.shape[1] + 1)
    axes.plot(epochs, table.T, color='#9bb8d3', linewidth=0.5)
    mean = np.nanmean(table, axis=0)
    axes.plot(epochs, mean, color='#1f4e79', linewidth=2, marker='.')
    axes.set(xlabel='epoch', ylabel=f'training {name} ({unit})')
    axes.spines[['top', 'right']].set_visible(False)


def _pictures(
  name: str, dataset: data_lib.Dataset, clip: int
) -> Iterator[tuple[str, str]]:
  """(Title, source) of the images of one input of a clip."""
  views, shown = dataset.views[name], dataset.representations[name]
  # What is shown, not what the model calls it.
  titles = [f'{shown}, {v}' for v in views] if len(views) > 1 else [shown]
  for title, pixels in display.pictures(
    dataset.inputs[name][0, clip], titles, dataset.channels[name]
  ):
    yield title, display.source(pixels)


def _inputs(
  config: configuration.Data, dataset: data_lib.Dataset
) -> Iterator[str]:
  """A sentence about each input of the model."""
  for name, array in dataset.inputs.items():
    size = ' x '.join(map(str, array.shape[2:]))
    text = f'{name}, as {dataset.representations[name]}: {size} per clip'
    if channels := dataset.channels[name]:
      names = ', '.join(channel.name for channel in channels)
      yield (
        f'{text} (view, height, width, channel); channels {names};'
        f' views {", ".join(dataset.views[name])};'
        f' data.phases {", ".join(config.phases)}'
      )
    else:
      yield f'{text}; no image'


def _clips(
  dataset: data_lib.Dataset, pooled: report.Pooled
) -> Iterator[dict[str, Any]]:
  """The first clips of each class: images, truth and prediction."""
  for class_, name in enumerate(dataset.classes):
    for index in np.flatnonzero(dataset.labels == class_)[:_SHOWN]:
      yield {
        'clip_id': dataset.clips[index].clip_id,
        'truth': name,
        'prediction': dataset.classes[pooled.predictions[0, index]],
        'probability': pooled.probabilities[0, index].max(),
        'images': [
          picture
          for key, channels in dataset.channels.items()
          if channels
          for picture in _pictures(key, dataset, index)
        ],
      }


def _class_rows(overall: dict[str, Any]) -> list[list[str]]:
  labels = [metric.label for metric in metrics.PER_CLASS.values()]
  return [['class', 'clips', *(f'{x}, mean over seeds' for x in labels)]] + [
    [name, str(clips), *metrics.texts_of(overall, name)]
    for name, clips in overall['clips_per_class'].items()
  ]


def write(
  path: pathlib.Path,
  config: configuration.Config,
  dataset: data_lib.Dataset,
  pooled: report.Pooled,
  results: Sequence[FoldResult],
  summary: dict[str, Any],
  versions: dict[str, str],
) -> None:
  """Writes the page.

  Args:
    path: of the HTML file.
    config: of the run.
    dataset: what was trained on; some of its images are shown, never a frame.
    pooled: predictions of all folds.
    results: every fold, for the learning curves.
    summary: what `report.summarise` returned.
    versions: of the packages and the machine.
  """
  overall = summary['overall']
  notes = summary['notes'] + [
    f'fold {row["subject"]}: no training clip of {row["class"]}'
    for row in summary['classes_absent_in_training']
  ]
  text = _template().render(
    summary=summary,
    title=report.title(summary),
    epochs=report.EPOCHS[config.evaluation.epochs],
    chance_of=report.CHANCE_OF,
    rows=report.rows(summary),
    oracle=report.oracle_line(summary),
    classes=dataset.classes,
    confusion=_confusion(overall['confusion'], dataset.classes),
    class_rows=_class_rows(overall),
    curves=_curves(results),
    inputs=_inputs(config.data, dataset),
    shown=_SHOWN,
    seed=pooled.seeds[0],
    clips=_clips(dataset, pooled),
    notes=notes,
    config=json.dumps(schema.to_dict(config), indent=2),
    versions=[
      ['what', 'version'],
      *versions.items(),
      *((f'{n} trainings', by) for by, n in summary['trained_by'].items()),
    ],
  )
  aside = path.with_suffix('.tmp')
  aside.write_text(text, encoding='utf-8')
  # Its presence says that it is whole.
  aside.replace(path)
