"""Expressions in long videos: dianet spot VIDEO ... [--out=DIR].

Exit status: 0 where every video was spotted, 1 where one could not be (the rest
is), 2 for a wrong command line.
"""

import argparse
from collections.abc import Sequence
import contextlib
import dataclasses
import math
import pathlib
import sys

from dianet_jax.clips import video
from dianet_jax.core import errors, escape, paths, progress
from dianet_jax.inference import (
  annotated_video,
  spotters,
  spotting,
  spotting_files,
)


def spot_video(
  source: video.Video, spotter: str, threshold: float
) -> spotting.Spotted:
  """Spots the expressions in a video.

  Args:
    source: is read once, from its beginning to its end.
    spotter: a row of `spotters.SPOTTERS`.
    threshold: of its score.

  Raises:
    UserError: it cannot be read, or no faces can be found here.
  """
  row = spotters.SPOTTERS[spotter]
  return spotting.gather(
    source.name,
    spotter,
    row.unit,
    threshold,
    row(source.frames(), threshold),
    lambda: source.warnings,
  )


def look_again(
  source: video.Video, spotted: spotting.Spotted, path: pathlib.Path
) -> spotting_files.Result:
  """Reads a video once more, for filmstrips and the annotated video.

  Args:
    source: that was spotted.
    spotted: what was found in it.
    path: of the annotated video, without an ending.
  """
  strips = spotting.Filmstrips(spotted.found)
  name, said = '', list(spotted.warnings)
  with contextlib.ExitStack() as stack:
    writer = None
    try:
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
  names: Sequence[str],
  fps: float | None,
  spotter: str,
  threshold: float,
  out: pathlib.Path,
) -> list[spotting_files.Result]:
  """Spots videos one after another and writes the files.

  Args:
    names: of videos and folders of frames.
    fps: of folders of frames.
    spotter: a row of `spotters.SPOTTERS`.
    threshold: of its score.
    out: folder of the files.

  Raises:
    UserError: the folder cannot be written.
  """
  results = []
  try:
    out.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(progress.track(names, 'Videos', len(names))):
      stem = escape.file_name(pathlib.Path(name).stem or 'video')
      path = out / f'{index + 1:03d}-{stem}'
      try:
        source = video.Video(pathlib.Path(name), _fps_of(name, fps))
        spotted = spot_video(source, spotter, threshold)
        results.append(look_again(source, spotted, path))
      except errors.UserError as error:
        results.append(spotting_files.Result(name, error=str(error)))
    unit = spotters.SPOTTERS[spotter].unit
    spotting_files.write(out, spotter, unit, threshold, results)
  except OSError as error:
    raise errors.UserError(
      f'--out={out} cannot be written ({error.strerror}).'
    ) from error
  return results


def _fps_of(name: str, fps: float | None) -> float | None:
  """A list of videos and folders may have one rate, which is the folders'."""
  return fps if pathlib.Path(name).is_dir() else None


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='dianet spot',
    description='Finds expressions in long videos: movements of brows and'
    ' mouth that come and go.',
  )
  parser.add_argument('videos', nargs='+', help='or folders of frames')
  parser.add_argument('--out', default='spotting', help='folder to write')
  parser.add_argument('--fps', type=float, help='of folders of frames')
  parser.add_argument(
    '--spotter', default='movement', choices=list(spotters.SPOTTERS)
  )
  parser.add_argument(
    '--threshold', type=float, help="of the score; by default the spotter's"
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
    UserError: the folder cannot be written, or a wrong threshold.
  """
  options = _parser().parse_args(arguments)
  # Standard output holds the JSON alone, for programs.
  progress.console.stderr = options.json
  threshold = options.threshold
  if threshold is None:
    threshold = spotters.SPOTTERS[options.spotter].threshold
  if not 0 < threshold < math.inf:
    raise errors.UserError(
      f'--threshold={threshold}: expected a score above 0.'
    )
  files = [n for n in options.videos if not pathlib.Path(n).is_dir()]
  if options.fps is not None and len(files) == len(options.videos):
    raise errors.UserError(
      '--fps is for folders of frames; a video has time stamps.'
    )
  out = paths.normal(options.out, '--out')
  results = spot_all(
    options.videos, options.fps, options.spotter, threshold, out
  )
  if options.json:
    print((out / 'spotting.json').read_text(encoding='utf-8'))
  else:
    _say(results, out)
  return int(any(result.error for result in results))


def _say(results: Sequence[spotting_files.Result], out: pathlib.Path) -> None:
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
        f'  {one.region}  score {one.score:.1f}'
      )
    for text in spotted.warnings:
      print(f'  note: {text}')
  print(f'{out / "report.html"}')
