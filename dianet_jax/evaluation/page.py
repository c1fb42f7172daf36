"""report.html: one self-contained page about a run."""

import base64
from collections.abc import Sequence
import html
import io
import json
import pathlib
from typing import Any

import cv2
from matplotlib import figure
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import report
from dianet_jax.motion import scaling
from dianet_jax.training.results import FoldResult

# Clips shown of each class.
_SHOWN = 3

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; margin: 2em auto;
  max-width: 60em; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; }
th, td { padding: .3em .8em; text-align: right; border-bottom: 1px solid #dde; }
th:first-child, td:first-child { text-align: left; }
.confusion td { text-align: center; min-width: 4em; }
.simulated { background: #fff3cd; padding: .6em 1em; border-radius: 4px; }
.clips { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1em; }
.clip { font-size: .8em; }
.clip img { width: 8.2em; image-rendering: auto; border-radius: 3px; }
.wrong { color: #a4262c; } .quiet { color: #667; }
svg { max-width: 100%; height: auto; } .wide { overflow-x: auto; }
pre { background: #f5f6f8; padding: 1em; overflow-x: auto; font-size: .8em; }
"""


def _table(rows: Sequence[Sequence[str]]) -> str:
  header, *body = rows

  def line(tag, cells):
    escaped = (html.escape(cell).replace('\n', '<br>') for cell in cells)
    inside = ''.join(f'<{tag}>{cell}</{tag}>' for cell in escaped)
    return f'<tr>{inside}</tr>'

  return (
    '<table>'
    + line('th', header)
    + ''.join(line('td', row) for row in body)
    + '</table>'
  )


def _confusion(matrices: Sequence, classes: Sequence[str]) -> str:
  """Counts summed over seeds, shaded by the share of the true class."""
  counts = np.sum(matrices, axis=0)
  shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  head = ''.join(f'<th>{html.escape(name)}</th>' for name in classes)
  rows = [f'<tr><th>true \\ predicted</th>{head}<th>recall</th></tr>']
  for row, name in enumerate(classes):
    cells = ''.join(
      f'<td style="background: rgb(31 119 180 / {share * 0.8:.2f})">{count}'
      '</td>'
      for count, share in zip(counts[row], shares[row])
    )
    rows.append(
      f'<tr><th>{html.escape(name)}</th>{cells}'
      f'<td>{shares[row, row]:.2f}</td></tr>'
    )
  table = f'<table class="confusion">{"".join(rows)}</table>'
  return f'<div class="wide">{table}</div>'


def _curves(results: Sequence[FoldResult]) -> str:
  """Loss and accuracy in training, a line a fold and their mean, as SVG."""
  drawing = figure.Figure(figsize=(9, 3.2), layout='constrained')
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
  buffer = io.StringIO()
  drawing.savefig(buffer, format='svg')
  svg = buffer.getvalue()
  return svg[svg.index('<svg') :]


def _png(image: np.ndarray) -> str:
  """A phase image as the source of an <img>."""
  pixels = scaling.to_display(image)[..., ::-1]
  _, encoded = cv2.imencode('.png', pixels)
  return 'data:image/png;base64,' + base64.b64encode(encoded).decode()


def _clips(
  config: configuration.Config,
  dataset: data_lib.Dataset,
  pooled: report.Pooled,
) -> str:
  """Phase images of the first clips of each class, with what was predicted."""
  cards = []
  for class_, name in enumerate(dataset.classes):
    for index in np.flatnonzero(dataset.labels == class_)[:_SHOWN]:
      clip = dataset.clips[index]
      guess = dataset.classes[pooled.predictions[0, index]]
      images = ''.join(
        f'<img src="{_png(image)}" alt="{phase}" title="{phase}"> '
        for phase, image in zip(config.data.phases, dataset.images[index])
      )
      mark = '' if guess == name else ' class="wrong"'
      cards.append(
        f'<div class="clip">{images}<br>{html.escape(clip.clip_id)}:'
        f' {html.escape(name)}, <span{mark}>predicted {html.escape(guess)}'
        f' ({pooled.probabilities[0, index].max():.2f})</span></div>'
      )
  return f'<div class="clips">{"".join(cards)}</div>'


def _notes(summary: dict[str, Any]) -> str:
  notes = list(summary['notes']) + [
    f'fold {row["subject"]}: no training clip of {row["class"]}'
    for row in summary['classes_absent_in_training']
  ]
  if not notes:
    return '<p>None.</p>'
  return f'<ul>{"".join(f"<li>{html.escape(n)}</li>" for n in notes)}</ul>'


def _banner(summary: dict[str, Any]) -> str:
  """What a reader must know before the numbers."""
  lines = []
  if summary['simulated']:
    lines.append(
      'The data are <b>simulated</b>: these numbers show that the program'
      ' works, and say nothing of real faces.'
    )
  if summary['control']:
    lines.append(
      'A <b>control</b>: the labels were shuffled over all clips, so the'
      ' result must lie at chance.'
    )
  return ''.join(f'<p class="simulated">{line}</p>' for line in lines)


def _class_rows(overall: dict[str, Any]) -> list[list[str]]:
  rows = [['class', 'clips', 'F1, mean over seeds', 'recall']]
  for name, clips in overall['clips_per_class'].items():
    values = (overall[f'{key}_per_class'][name] for key in ('f1', 'recall'))
    texts = ('none' if value is None else f'{value:.3f}' for value in values)
    rows.append([name, str(clips), *texts])
  return rows


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
    dataset: what was trained on; some of its phase images are shown, never a
      frame.
    pooled: predictions of all folds.
    results: every fold, for the learning curves.
    summary: what `report.summarise` returned.
    versions: of the packages and the machine.
  """
  overall = summary['overall']
  phases = ' | '.join(config.data.phases)
  body = f"""
<h1>{html.escape(summary['name'])}</h1>{_banner(summary)}
<p>{html.escape(report.title(summary))}. UF1 and UAR come from one confusion
matrix pooled over all folds; {report.EPOCHS[config.evaluation.epochs]}. Below
each mean over seeds is its interval of 95 %, subjects resampled. The last
column is where UF1 would lie, 95 times in 100, if the predictions had nothing
to do with the truth.</p>
{_table(report.rows(summary))}
<p class="quiet">{html.escape(report.oracle_line(summary))}</p>
<h2>Confusion matrix, summed over seeds</h2>
{_confusion(overall['confusion'], dataset.classes)}
<p></p>{_table(_class_rows(overall))}
<h2>Learning curves</h2>
<p class="quiet">Training clips, augmented, in training: a thin line a fold, a
bold one their mean. The held-out subject has no curve.</p>
{_curves(results)}
<h2>Phase images: {phases}</h2>
<p class="quiet">The first {_SHOWN} clips of each class, joint min-max; what
was predicted with their subject held out (seed {pooled.seeds[0]}).</p>
{_clips(config, dataset, pooled)}
<h2>Notes on the data</h2>{_notes(summary)}
<h2>Configuration</h2>
<pre>{html.escape(json.dumps(configuration.to_dict(config), indent=2))}</pre>
<h2>Versions</h2>{_table([['what', 'version'], *versions.items()])}
"""
  path.write_text(
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    f'<title>{html.escape(summary["name"])}</title>'
    f'<style>{_STYLE}</style>{body}</html>\n',
    encoding='utf-8',
  )
