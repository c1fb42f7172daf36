"""Expressions in long videos: dianet spot VIDEO ... [--out=DIR].

Or with --truth=FOLDER or --dataset=samm_long --manual_dir=DIR in place of the
videos: then they are scored as well.

Exit status: 0 where every video was spotted, 1 where one could not be (the rest
is), 2 for a wrong command line.
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
from dianet_jax.experiments import known_videos
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
    source: is read once, from its beginning to its end.
    spotter: see `spotters.get`.
    threshold: of its score.

  Raises:
    UserError: it cannot be read, or no faces can be found here.
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


def look_again(
  source: video.Video, spotted: spotting.Spotted, path: pathlib.Path | None
) -> spotting_files.Result:
  """Reads a video once more, for filmstrips and the annotated video.

  Args:
    source: that was spotted.
    spotted: what was found in it.
    path: of the annotated video, without an ending; None for no such video.
  """
  strips = spotting.Filmstrips(spotted.found)
  name, said = '', list(spotted.warnings)
  with contextlib.ExitStack() as stack:
    writer = None
    try:
      if path is not None:
        writer = stack.enter_context(annotated_video.Writer(path, spotted))
    except (ImportError, ValueError) as error:
      said.append(f'there is no annotated video: {error}')
    for number, frame in enumerate(source.frames()):
      strips.add(number, frame.image)
      if writer is not None and writer.wants(number):
        writer.add(number, frame.image())
  if writer is not None:
    name = writer.path.name
    said += [writer.warning] if writer.warning else []
  return spotting_files.Result(
    source.name,
    dataclasses.replace(spotted, warnings=tuple(said)),
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
    rates: video or folder of frames -> frames a second, of a folder.
    spotter: see `spotters.get`.
    threshold: of its score.
    out: folder of the files, which is there.
    bundle: names the expressions.
    annotates: whether annotated videos are written.

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
        spotted = _named(source, spotted, bundle)
      results.append(look_again(source, spotted, path))
    except errors.UserError as error:
      results.append(spotting_files.Result(name, error=str(error)))
  spotting_files.write_tables(out, results)
  return results


def _named(
  source: video.Video, spotted: spotting.Spotted, bundle: bundle_lib.Bundle
) -> spotting.Spotted:
  found, why = spotting.named(source, spotted.found, bundle)
  return dataclasses.replace(
    spotted, found=tuple(found), warnings=(*spotted.warnings, *why)
  )


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='dianet spot',
    description='Finds expressions in long videos: movements of brows and'
    ' mouth that come and go.',
  )
  parser.add_argument('videos', nargs='*', help='or folders of frames')
  parser.add_argument('--out', default='spotting', help='folder to write')
  parser.add_argument('--fps', type=float, help='of folders of frames')
  parser.add_argument(
    '--spotter',
    default='movement',
    help=f'{", ".join(spotters.SPOTTERS)}, or a file of `dianet train-spotter`',
  )
  parser.add_argument(
    '--threshold', type=float, help="of the score; by default the spotter's"
  )
  parser.add_argument(
    '--bundle', help='folder of `dianet export`, which names the expressions'
  )
  known = parser.add_argument_group(
    'videos whose expressions are known, which are scored as well'
  )
  known.add_argument(
    '--truth', default='', help='folder of videos, videos.csv and truth.csv'
  )
  known.add_argument('--dataset', default='', help='raw long videos')
  known.add_argument('--manual_dir', default='', help='where they lie')
  known.add_argument(
    '--classes',
    default='',
    help='classes of emotions, such as happiness=positive,disgust=negative',
  )
  parser.add_argument('--json', action='store_true', help='say it in JSON')
  return parser


def main(arguments: Sequence[str]) -> int:
  """Spots what the command line names.

  Args:
    arguments: the command line's, without the program.

  Returns:
    The exit status, see the module.

  Raises:
    UserError: the folder cannot be written, a wrong threshold, or a bundle or
      data set that cannot be read.
  """
  parser = _parser()
  options = parser.parse_args(arguments)
  if sum(map(bool, (options.videos, options.truth, options.dataset))) != 1:
    parser.error('give videos, or --truth, or --dataset and --manual_dir')
  if bool(options.dataset) != bool(options.manual_dir):
    parser.error('--dataset and --manual_dir belong together')
  # Standard output holds the JSON alone, for programs.
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
    _say(results, out, evaluation)
  return int(any(result.error for result in results))


def _spot(
  options: argparse.Namespace, threshold: float, out: pathlib.Path
) -> tuple[list[spotting_files.Result], spotting_files.Evaluation | None]:
  """Spots what the options name, and scores it where the truth is known."""
  classes = evaluate_spotting.classes_of(options.classes)
  known = _known(options)
  rates = known.rates if known else _rates(options.videos, options.fps)
  bundle = None
  if options.bundle:
    runtime.keep_programs(runtime.cache_dir(''))
    bundle = folder.load(options.bundle)
    if known is not None:
      known_videos.unnamed(known, bundle, classes)
  results = spot_all(
    rates, options.spotter, threshold, out, bundle, known is None
  )
  if known is None:
    return results, None
  if any(result.error for result in results):
    print('All videos count: with one missing none is scored.', file=sys.stderr)
    return results, None
  path = out / 'intervals.csv'
  return results, known_videos.evaluate(known, path, classes, bundle)


def _known(options: argparse.Namespace) -> known_videos.KnownVideos | None:
  if options.videos:
    return None
  if options.fps is not None:
    raise errors.UserError(
      '--fps is for folders of frames that are named one by one: what is known'
      ' of videos tells their rates.'
    )
  if options.truth:
    return known_videos.of_folder(paths.normal(options.truth, '--truth'))
  return known_videos.of_data_set(options.dataset, options.manual_dir)


def _rates(names: Sequence[str], fps: float | None) -> dict[str, float | None]:
  """A list of videos and folders may have one rate, which is the folders'."""
  rates = {name: fps if pathlib.Path(name).is_dir() else None for name in names}
  if fps is not None and not any(rates.values()):
    raise errors.UserError(
      '--fps is for folders of frames; a video has time stamps.'
    )
  return rates


def _say(
  results: Sequence[spotting_files.Result],
  out: pathlib.Path,
  evaluation: spotting_files.Evaluation | None,
) -> None:
  for result in results:
    name, spotted = escape.line(result.name), result.spotted
    if spotted is None:
      print(f'{name}: {escape.shown(result.error)}', file=sys.stderr)
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
