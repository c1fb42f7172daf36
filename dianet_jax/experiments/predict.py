"""Predicts clips with a bundle: dianet predict VIDEO ... [--bundle=DIR].

Exit status: 0 if all clips were predicted, 1 if one could not be predicted (the
others are), 2 for an invalid command line.
"""

import argparse
from collections.abc import Iterator, Sequence
import dataclasses
import json
import pathlib
import sys

from dianet_jax.clips import segments, video
from dianet_jax.core import errors, escape, paths, progress, runtime
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.evaluation import metrics, predictions, report
from dianet_jax.experiments import spot
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.inference import (
  folder,
  outputs,
  sources,
  spotters,
  spotting,
)
from tfds_builders import protocols
from tfds_builders import registry as data_sets

# Finds the clips in a long video without given key frames.
SPOTTER = 'movement'


def predict_sources(
  bundle: bundle_lib.Bundle,
  found: Sequence[sources.Source],
  out: pathlib.Path,
) -> list[outputs.Result]:
  """Predicts clips one after another and writes the files.

  Args:
    bundle: the bundle.
    found: the clips; the result of one that cannot be read is its error.
    out: folder of the files.

  Returns:
    A result for each clip, and for each expression spotted in a long video.

  Raises:
    UserError: the folder cannot be written.
  """
  results = []
  for source in progress.track(found, 'Clips', len(found)):
    try:
      results.extend(_predict_source(bundle, source, len(results)))
    except errors.UserError as error:
      results.append(outputs.of_error(str(source.path), str(error)))
  try:
    outputs.write(out, bundle, results)
  except OSError as error:
    raise errors.UserError(
      f'--out={out} cannot be written ({error.strerror}).'
    ) from error
  return results


def _predict_source(
  bundle: bundle_lib.Bundle, source: sources.Source, before: int
) -> Iterator[outputs.Result]:
  """Predicts one clip, or all spotted clips of a long video.

  Clips that the page does not show are not explained; `before` is the number of
  earlier ones.
  """
  film = video.Video(paths.normal(source.path, 'video'), source.fps)
  whole = source.segment == segments.WHOLE
  if not (whole and segments.is_long(film.frames())):
    prediction = bundle.predict_video(source.path, source.segment, source.fps)
    explained = before < outputs.MOST_SHOWN
    yield outputs.of_prediction(bundle, prediction, explained)
    return
  threshold = spotters.SPOTTERS[SPOTTER].threshold
  spotted = spot.spot_video(film, SPOTTER, threshold)
  if not spotted.found:
    yield outputs.of_no_expression(film.name, float(spotted.seconds[-1]))
  clips = spotting.clips(film, spotted.found, bundle.data)
  for number, (one, clip) in enumerate(zip(spotted.found, clips), before):
    explained = number < outputs.MOST_SHOWN
    prediction = bundle.predict_clip(clip)
    yield outputs.of_prediction(bundle, prediction, explained, one)


def protocol_for(bundle: bundle_lib.Bundle, dataset: str) -> str:
  """The protocol of a data set that has the bundle's classes.

  Raises:
    UserError: there is none.
  """
  if dataset == bundle.data.dataset:
    return bundle.data.protocol
  declared = data_sets.facts(dataset).protocols
  for name in declared:
    if protocols.get(name).classes == bundle.classes:
      return name
  raise errors.UserError(
    f'--dataset={dataset}: none of its protocols ({", ".join(declared)}) has'
    f" the bundle's classes, {', '.join(bundle.classes)}."
  )


def predict_data_set(
  bundle: bundle_lib.Bundle, dataset: str, manual_dir: str, out: pathlib.Path
) -> dict[str, float | int | bool]:
  """Predicts a raw data set and compares with its labels.

  Args:
    bundle: the bundle.
    dataset: a folder of tfds_builders/.
    manual_dir: folder of the raw data.
    out: folder of `predictions.csv`, which `dianet compare` reads.

  Returns:
    `uf1`, `uar`, `accuracy`, 0..1; `n` clips; `seen`: whether the networks were
    trained on this data set; `simulated`: whether the faces are simulated.

  Raises:
    UserError: the data cannot be read, or have other classes.
  """
  stored = bool(data_sets.facts(dataset).stored)
  same = dataset == bundle.data.dataset
  data = dataclasses.replace(
    bundle.data,
    dataset=dataset,
    protocol=protocol_for(bundle, dataset),
    emotions=bundle.data.emotions if same else (),
    manual_dir=manual_dir,
    align=bundle.data.align and not stored,
    simulation=dataclasses.replace(bundle.data.simulation, enabled=False),
    offset_jitter_frames=0,
    key_frame_search=0.0,
    permute_labels=False,
  )
  loaded = dataset_lib.load(data, 0, tuple(bundle.feed))
  probabilities = bundle.probabilities(
    {name: array[0] for name, array in loaded.inputs.items()}
  )
  pooled = report.Pooled(
    (0,), probabilities[None], probabilities.argmax(axis=-1)[None]
  )
  out.mkdir(parents=True, exist_ok=True)
  predictions.write(out / 'predictions.csv', loaded, pooled)
  confusion = metrics.confusion_matrix(
    loaded.labels, pooled.predictions[0], len(bundle.classes)
  )
  figures = {
    key: float(metrics.METRICS[key](confusion))
    for key in ('uf1', 'uar', 'accuracy')
  }
  return figures | {
    'n': len(loaded.clips),
    'seen': same,
    'simulated': loaded.simulated,
  }


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='dianet predict',
    description='Classifies the expressions in videos, folders of frames or a'
    ' raw data set.',
  )
  parser.add_argument(
    'sources',
    nargs='*',
    help='videos, folders of frames, or lists of them (.csv)',
  )
  parser.add_argument(
    '--bundle',
    help='folder written by `dianet export` (default: the bundle of the'
    ' package)',
  )
  parser.add_argument(
    '--out', default='prediction', help='folder to write (default: prediction)'
  )
  parser.add_argument(
    '--fps', type=float, help='frames per second of folders of frames'
  )
  for name in ('onset', 'apex', 'offset'):
    parser.add_argument(
      f'--{name}', type=int, help=f'frame number of the {name}, from 0'
    )
  parser.add_argument(
    '--start', type=float, help='time in seconds, instead of --onset'
  )
  parser.add_argument(
    '--end', type=float, help='time in seconds, instead of --offset'
  )
  parser.add_argument(
    '--dataset', default='', help='predict a raw data set instead of sources'
  )
  parser.add_argument(
    '--manual_dir', default='', help='folder of the raw data set'
  )
  parser.add_argument(
    '--json', action='store_true', help='print the results as JSON'
  )
  return parser


def main(arguments: Sequence[str]) -> int:
  """The command `dianet predict`.

  Args:
    arguments: of the command line, without the program's name.

  Returns:
    The exit status, see the module.

  Raises:
    UserError: a bundle, list or data set cannot be read.
  """
  parser = _parser()
  options = parser.parse_args(arguments)
  if bool(options.sources) == bool(options.dataset):
    parser.error('give videos, or --dataset and --manual_dir')
  if bool(options.dataset) != bool(options.manual_dir):
    parser.error('give both --dataset and --manual_dir, or neither')
  # With --json, standard output must contain only JSON.
  progress.console.stderr = options.json
  # One device with all cores, because clips are computed one at a time.
  runtime.keep_programs(runtime.cache_dir(''))
  bundle = folder.load(options.bundle or folder.SHIPPED)
  out = paths.normal(options.out, '--out')
  if options.dataset:
    figures = predict_data_set(bundle, options.dataset, options.manual_dir, out)
    _say_figures(figures, out, options.json)
    return 0
  segment = segments.Segment(
    options.onset, options.apex, options.offset, options.start, options.end
  )
  segment.check()
  found = sources.find(options.sources, segment, options.fps)
  results = predict_sources(bundle, found, out)
  _say_results(results, out, options.json)
  return int(any(result.failed for result in results))


def _say_figures(figures, out: pathlib.Path, as_json: bool) -> None:
  if as_json:
    print(json.dumps(figures))
    return
  print(
    f'{figures["n"]} clips: UF1 {figures["uf1"]:.3f}, UAR'
    f' {figures["uar"]:.3f}, accuracy {figures["accuracy"]:.3f}.'
  )
  if figures['seen']:
    print('The networks were trained on this data set: this is not a result.')
  if figures['simulated']:
    print('The data are SIMULATED: the numbers do not apply to real faces.')
  print(f'{out}/predictions.csv')


def _say_results(
  results: Sequence[outputs.Result], out: pathlib.Path, as_json: bool
) -> None:
  if as_json:
    print((out / 'prediction.json').read_text(encoding='utf-8'))
    return
  for result in results:
    row, name = result.row, escape.line(result.row['clip'])
    if row['error']:
      where = sys.stderr if result.failed else sys.stdout
      print(f'{name}: {escape.shown(row["error"])}', file=where)
      continue
    chances = sorted(
      ((v, k[2:]) for k, v in row.items() if k.startswith('p_')), reverse=True
    )
    if row.get('kind'):
      name += f', {row["onset_seconds"]:.2f} to {row["offset_seconds"]:.2f} s'
      name += f' ({row["kind"]}, score {row["spotting_score"]:.1f})'
    print(f'{name}: ' + ', '.join(f'{k} {v:.2f}' for v, k in chances))
    for text in result.warnings:
      print(f'  note: {text}')
  print(f'{out / "report.html"}')
