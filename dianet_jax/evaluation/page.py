"""report.html: one self-contained page about a run.

The template page.html.j2 has the text; this module supplies its values.
"""

from collections.abc import Iterator, Mapping, Sequence
import io
import json
import pathlib
from typing import Any

from jaxtyping import Float, Int, UInt8
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import html, schema
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import embedding, metrics, plots, report
from dianet_jax.explanation import explainer
from dianet_jax.motion import display, scaling
from dianet_jax.training.results import FoldResult

# Number of clips shown of each class: misclassified and correct ones.
_WRONGEST, _SUREST = 3, 2


def _confusions(
  summary: dict[str, Any], classes: Sequence[str]
) -> Iterator[tuple[str, Iterator]]:
  """(Name, rows of the matrix) for all clips and each data set."""
  parts = {'all clips': summary['overall'], **summary['by_dataset']}
  for name, part in parts.items():
    counts = np.sum(part['confusion'], axis=0)
    yield name, html.confusion_rows(counts, classes)


def _curves(results: Sequence[FoldResult]) -> str:
  """Training loss and accuracy as SVG: a line per fold, and the mean."""
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
    # Folds of a nested selection may differ in epochs: NaN after their end.
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
  # The representation's name, not the model's name of the input.
  titles = [f'{shown}, {v}' for v in views] if len(views) > 1 else [shown]
  for title, pixels in display.pictures(
    dataset.inputs[name][0, clip], titles, dataset.channels[name]
  ):
    yield title, display.source(pixels)


def _inputs(
  config: configuration.Data, dataset: data_lib.Dataset
) -> Iterator[str]:
  """Describes each input of the model."""
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
      yield f'{text}; not an image'


def choose(
  labels: Int[np.ndarray, ' clip'],
  probabilities: Float[np.ndarray, 'clip class_'],
) -> list[int]:
  """Chooses the clips to show: misclassified ones first, then correct ones.

  Args:
    labels: int32, true class index.
    probabilities: 0..1, predicted with the clip's subject held out.

  Returns:
    Indices of up to three misclassified and two correct clips of each class:
    the misclassified by increasing probability of the true class, then the
    correct by decreasing probability.

  >>> labels = np.array([0, 0, 1])
  >>> choose(labels, np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
  [1, 0, 2]
  """
  of_truth = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
  right = probabilities.argmax(axis=1) == labels
  rising, falling = (
    np.argsort(sign * of_truth, kind='stable') for sign in (1, -1)
  )
  wrong: list[int] = []
  sure: list[int] = []
  for class_ in range(probabilities.shape[1]):
    own = labels == class_
    wrong += rising[(own & ~right)[rising]][:_WRONGEST].tolist()
    sure += falling[(own & right)[falling]][:_SUREST].tolist()
  wrong.sort(key=lambda clip: of_truth[clip])
  sure.sort(key=lambda clip: -of_truth[clip])
  return wrong + sure


def _clips(
  dataset: data_lib.Dataset,
  pooled: report.Pooled,
  explanations: Mapping[int, explainer.Explanation],
) -> Iterator[dict[str, Any]]:
  """Truth, prediction, images and explanation of the clips that are shown."""
  of_seed = pooled.probabilities[0]
  for index in choose(dataset.labels, of_seed):
    shares = of_seed[index].tolist()
    yield {
      'clip_id': dataset.clips[index].clip_id,
      'subject': dataset.clips[index].subject,
      'truth': dataset.classes[dataset.labels[index]],
      'prediction': dataset.classes[pooled.predictions[0, index]],
      'probabilities': [
        (name, share, f'{share:.2f}')
        for name, share in zip(dataset.classes, shares)
      ],
      'images': [
        picture
        for key, channels in dataset.channels.items()
        if channels
        for picture in _pictures(key, dataset, index)
      ],
      **_explained(dataset, explanations.get(index), index),
    }


def _explained(
  dataset: data_lib.Dataset,
  explanation: explainer.Explanation | None,
  clip: int,
) -> dict[str, Any]:
  if explanation is None:
    return {'regions': (), 'maps': ()}
  images = (name for name, channels in dataset.channels.items() if channels)
  faces = (_face(dataset.inputs[name][0, clip]) for name in images)
  return {
    'regions': explanation.bars(),
    'maps': [
      (title, display.source(pixels, '.jpg'))
      for title, pixels in explanation.pictures(next(faces, None))
    ],
  }


def _face(
  images: Float[np.ndarray, 'view height width channel'],
) -> UInt8[np.ndarray, 'height width 3']:
  """Background of the explanations: the first view, or its first channel."""
  image = images[0] if images.shape[-1] == 3 else images[0, ..., :1]
  pixels = scaling.to_display(image)
  return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy()


def _planes(
  dataset: data_lib.Dataset, pooled: report.Pooled
) -> Iterator[dict[str, Any]]:
  """The clips in a plane, coloured by class, and by subject."""
  plane = embedding.of_probabilities(
    pooled.probabilities[0], [clip.clip_id for clip in dataset.clips]
  )
  of_class = [dataset.classes[label] for label in dataset.labels]
  for title, labels in (('class', of_class), ('subject', dataset.subjects)):
    same, chance = plane.nearest(labels)
    yield {
      'title': title,
      'points': list(plane.drawn(labels)),
      'legend': embedding.legend(labels),
      'same': same,
      'chance': chance,
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
  explanations: Mapping[int, explainer.Explanation],
) -> None:
  """Writes the page.

  Args:
    path: the HTML file.
    config: of the run.
    dataset: of the run; the page shows some of its motion images, but no frame.
    pooled: predictions of all folds.
    results: of every fold, for the learning curves.
    summary: what `report.summarise` returned.
    versions: of the packages and the machine.
    explanations: index of a clip -> explanation of its predicted class; of
      some or all of the clips that `choose` returns.

  Raises:
    OSError: the file cannot be written.
  """
  overall = summary['overall']
  notes = summary['notes'] + [
    f'fold {row["subject"]}: no training clip of {row["class"]}'
    for row in summary['classes_absent_in_training']
  ]
  text = html.template('dianet_jax.evaluation', 'page.html.j2').render(
    summary=summary,
    title=report.title(summary),
    epochs=report.EPOCHS[config.evaluation.epochs],
    chance_of=report.CHANCE_OF,
    rows=report.rows(summary),
    oracle=report.oracle_line(summary),
    classes=dataset.classes,
    confusions=_confusions(summary, dataset.classes),
    class_rows=_class_rows(overall),
    curves=_curves(results),
    inputs=_inputs(config.data, dataset),
    wrongest=_WRONGEST,
    surest=_SUREST,
    seed=pooled.seeds[0],
    clips=_clips(dataset, pooled, explanations),
    attribution=explainer.table(
      list(explanations.values()),
      [int(pooled.predictions[0, clip]) for clip in explanations],
      dataset.classes,
    ),
    planes=_planes(dataset, pooled),
    plane_size=embedding.SIZE,
    notes=notes,
    config=json.dumps(schema.to_dict(config), indent=2),
    versions=[
      ['what', 'version'],
      *versions.items(),
      *((f'{n} trainings', by) for by, n in summary['trained_by'].items()),
    ],
  )
  html.write(path, text)
