"""Spots expressions in long videos: dianet spot VIDEO ... [--out=DIR].

Instead of videos, --truth=FOLDER or --dataset=samm_long --manual_dir=DIR select
videos with annotated expressions. These are also evaluated.

Exit status: 0 if all videos were spotted, 1 for an error (other videos are
spotted nevertheless), 2 for a wrong command line.
"""

import argparse
from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import math
import pathlib
import sys

from dianet_jax.clips import video
from dianet_jax.core import errors, escape, paths, progress, runtime
from dianet_jax.evaluation import evaluate_spotting
from dianet_jax.experiments import labelled_videos
from dianet_jax.inference import (
  annotated_video,
  folder,
  spotters,
  spotting,
  spotting_files,
)
from dianet_jax.inference import bundle as bundle_lib


def spot_video(
  source: video.Video, spotter: str, threshold: float
) -> spotting.Spotted:
  """Spots the expressions in a video.

  Args:
    source: read once, completely.
    spotter: name or file, see `spotters.get`.
    threshold: lowest score of an interval.

  Returns:
    The intervals, the scores and warnings.

  Raises:
    UserError: the video cannot be read, the spotter is unknown, or the face
      detector is not installed.
  """
  row = spotters.get(spotter)
  return spotting.gather(
    source.name,
    spotter,
    row.unit,
    threshold,
    row(source.frames(), threshold),
    lambda: source.warnings,
  )


def add_images(
  source: video.Video, spotted: spotting.Spotted, path: pathlib.Path | None
) -> spotting_files.Result:
  """Reads a video again to make its filmstrips and the annotated video.

  Args:
    source: the video.
    spotted: its result.
    path: of the annotated video, without suffix; None to write none.

  Returns:
    The result with filmstrips.

  Raises:
    UserError: the video cannot be read.
  """
  strips = spotting.Filmstrips(spotted.found)
  name, warnings = '', list(spotted.warnings)
  with contextlib.ExitStack() as stack:
    writer = None
    try:
      if path is not None:
        writer = stack.enter_context(annotated_video.Writer(path, spotted))
    except (ImportError, ValueError) as error:
      warnings.append(f'the annotated video was not written: {error}')
    for number, frame in enumerate(source.frames()):
      strips.add(number, frame.image)
      if writer is not None and writer.wants(number):
        writer.add(number, frame.image())
  if writer is not None:
    name = writer.path.name
    warnings += [writer.warning] if writer.warning else []
  return spotting_files.Result(
    source.name,
    dataclasses.replace(spotted, warnings=tuple(warnings)),
    spotting_files.films(spotted, strips),
    name,
  )


def spot_all(
  rates: Mapping[str, float | None],
  spotter: str,
  threshold: float,
  out: pathlib.Path,
  bundle: bundle_lib.Bundle | None = None,
  annotates: bool = True,
) -> list[spotting_files.Result]:
  """Spots videos one after another and writes the tables.

  Args:
    rates: path of a video or a folder of frames -> frames per second of a
      folder, None for a video.
    spotter: name or file, see `spotters.get`.
    threshold: lowest score of an interval.
    out: existing folder for the tables and annotated videos.
    bundle: predicts the emotion of each interval; None for none.
    annotates: whether annotated videos are written.

  Returns:
    One result per video, in order; it has an error if the video failed.

  Raises:
    OSError: the folder cannot be written.
  """
  results = []
  tracked = progress.track(rates.items(), 'Videos', len(rates))
  for number, (name, fps) in enumerate(tracked, 1):
    stem = escape.file_name(pathlib.Path(name).stem or 'video')
    path = out / f'{number:03d}-{stem}' if annotates else None
    try:
      source = video.Video(pathlib.Path(name), fps)
      spotted = spot_video(source, spotter, threshold)
      if bundle is not None:
        spotted = _with_emotions(source, spotted, bundle)
      results.append(add_images(source, spotted, path))
    except errors.UserError as error:
      results.append(spotting_files.Result(name, error=str(error)))
  spotting_files.write_tables(out, results)
  return results


def _with_emotions(
  source: video.Video, spotted: spotting.Spotted, bundle: bundle_lib.Bundle
) -> spotting.Spotted:
  found, warnings = spotting.with_emotions(source, spotted.found, bundle)
  return dataclasses.replace(
    spotted, found=tuple(found), warnings=(*spotted.warnings, *warnings)
  )


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='dianet spot',
    description='Spots micro- and macro-expressions in long videos, by'
    ' transient movements of the brows and the mouth.',
  )
  parser.add_argument(
    'videos', nargs='*', help='video files or folders of frames'
  )
  parser.add_argument(
    '--out', default='spotting', help='folder to write (default: spotting)'
  )
  parser.add_argument(
    '--fps', type=float, help='frames per second of folders of frames'
  )
  parser.add_argument(
    '--spotter',
    default='movement',
    help=f'{", ".join(spotters.SPOTTERS)}, or a file written by `dianet'
    ' train-spotter` (default: movement)',
  )
  parser.add_argument(
    '--threshold',
    type=float,
    help='lowest score of an interval (default: that of the spotter)',
  )
  parser.add_argument(
    '--bundle',
    help='folder written by `dianet export`; its network predicts the emotion'
    ' of each interval',
  )
  labelled = parser.add_argument_group(
    'evaluation', 'Select videos with annotated expressions instead.'
  )
  labelled.add_argument(
    '--truth', default='', help='folder of videos with videos.csv and truth.csv'
  )
  labelled_videos.add_data_set_options(labelled)
  labelled.add_argument(
    '--classes',
    default='',
    help='classes of the bundle for annotated emotions, such as'
    ' happiness=positive,disgust=negative',
  )
  parser.add_argument(
    '--json', action='store_true', help='print the results as JSON'
  )
  return parser


def main(arguments: Sequence[str]) -> int:
  """Runs `dianet spot`.

  Args:
    arguments: of the command line, without the program.

  Returns:
    The exit status, see the module.

  Raises:
    UserError: the folder cannot be written, the threshold is invalid, or the
      bundle or the data set cannot be read.
  """
  parser = _parser()
  options = parser.parse_args(arguments)
  if sum(map(bool, (options.videos, options.truth, options.dataset))) != 1:
    parser.error('expected either videos, or --truth, or --dataset')
  labelled_videos.check_data_set_options(parser, options)
  # Only JSON goes to standard output, so that programs can parse it.
  progress.console.stderr = options.json
  threshold = options.threshold
  if threshold is None:
    threshold = spotters.get(options.spotter).threshold
  if not 0 < threshold < math.inf:
    raise errors.UserError(
      f'--threshold={threshold}: expected a score above 0.'
    )
  out = paths.normal(options.out, '--out')
  try:
    out.mkdir(parents=True, exist_ok=True)
    results, evaluation = _spot(options, threshold, out)
    unit = spotters.get(options.spotter).unit
    spotting_files.write_report(
      out, options.spotter, unit, threshold, results, evaluation
    )
  except OSError as error:
    raise errors.UserError(
      f'--out={out} cannot be written ({error.strerror}).'
    ) from error
  if options.json:
    print((out / 'spotting.json').read_text(encoding='utf-8'))
  else:
    _print(results, out, evaluation)
  return int(any(result.error for result in results))


def _spot(
  options: argparse.Namespace, threshold: float, out: pathlib.Path
) -> tuple[list[spotting_files.Result], spotting_files.Evaluation | None]:
  """Spots the selected videos, and evaluates them if they are annotated."""
  classes = evaluate_spotting.classes_of(options.classes)
  labelled = _labelled(options)
  rates = labelled.rates if labelled else _rates(options.videos, options.fps)
  bundle = None
  if options.bundle:
    runtime.keep_programs(runtime.cache_dir(''))
    bundle = folder.load(options.bundle)
    if labelled is not None:
      labelled_videos.emotions_without_class(labelled, bundle, classes)
  results = spot_all(
    rates, options.spotter, threshold, out, bundle, labelled is None
  )
  if labelled is None:
    return results, None
  if any(result.error for result in results):
    print(
      'Not evaluated, because the metrics need all videos and some failed.',
      file=sys.stderr,
    )
    return results, None
  path = out / 'intervals.csv'
  return results, labelled_videos.evaluate(labelled, path, classes, bundle)


def _labelled(
  options: argparse.Namespace,
) -> labelled_videos.LabelledVideos | None:
  if options.videos:
    return None
  if options.fps is not None:
    raise errors.UserError(
      '--fps is not allowed with --truth or --dataset: the frame rates are part'
      ' of the annotations.'
    )
  if options.truth:
    return labelled_videos.of_folder(paths.normal(options.truth, '--truth'))
  return labelled_videos.of_data_set(options.dataset, options.manual_dir)


def _rates(names: Sequence[str], fps: float | None) -> dict[str, float | None]:
  """Frame rate of each folder; None for videos, which have time stamps."""
  rates = {name: fps if pathlib.Path(name).is_dir() else None for name in names}
  if fps is not None and not any(rates.values()):
    raise errors.UserError(
      '--fps applies to folders of frames; a video has time stamps.'
    )
  return rates


def _print(
  results: Sequence[spotting_files.Result],
  out: pathlib.Path,
  evaluation: spotting_files.Evaluation | None,
) -> None:
  for result in results:
    name, spotted = escape.line(result.name), result.spotted
    if spotted is None:
      # Most messages begin with the path.
      place = '' if result.error.startswith(result.name) else f'{name}: '
      print(f'{place}{escape.shown(result.error)}', file=sys.stderr)
      continue
    kinds = [one.kind for one in spotted.found]
    print(f'{name}: {kinds.count("micro")} micro, {kinds.count("macro")} macro')
    times = spotted.times
    for one in spotted.found:
      print(
        f'  {times[one.onset]:9.2f} to {times[one.offset]:.2f} s  {one.kind}'
        f'  {one.region}  score {one.score:.3g}  {one.emotion}'.rstrip()
      )
    for text in spotted.warnings:
      print(f'  note: {text}')
  if evaluation is not None:
    print('\n'.join(['', evaluation.text, '', *evaluation.notes]))
  print(f'{out / "report.html"}')
