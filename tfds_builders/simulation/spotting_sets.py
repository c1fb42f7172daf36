"""Simulated long videos for developing spotters and for testing them.

    dianet simulate-videos --set=development --root=PATH

This module defines the subjects, durations and camera settings of both sets. A
spotter, its constants and its thresholds are developed on the development set;
the test set is rendered and evaluated once, when the spotter is finished. The
sets have no subject and no random seed in common.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
import csv
import dataclasses
import pathlib
import sys

from dianet_jax.clips import intervals
from dianet_jax.core import errors, progress
from tfds_builders import raw_folder
from tfds_builders.simulation import (
  acting,
  faces,
  layouts,
  long_video_trees,
  long_videos,
)

# Separates these random numbers from those of simulated data sets.
_STREAM = 20
_HEIGHT, _WIDTH = 256, 320
# `crf` of H.264; the videos have these values in turn.
_QUALITIES = (18, 23, 28)
VIDEO_COLUMNS = ('video', 'subject', 'frames', 'frames_per_second')
TRUTH_COLUMNS = ('video', 'onset', 'apex', 'offset', 'kind', 'emotion')


@dataclasses.dataclass(frozen=True)
class Plan:
  """One video of a set.

  Attributes:
    name: name of the file without suffix.
    subject: number of the face; it also seeds the random numbers.
    take: index of the video among those of the subject.
    content: see `acting.write`.
    frames_per_second: frame rate of the camera.
    seconds: duration.
    quality: see `long_videos.write`.
  """

  name: str
  subject: int
  take: int
  content: acting.Content
  frames_per_second: int
  seconds: float
  quality: int

  def script(self, seed: int) -> acting.Script:
    """Generates the script of the video.

    Args:
      seed: random seed of the set.
    """
    rng = layouts.generator(_STREAM, seed, self.subject, 'plan', self.take)
    return acting.write(rng, self.content, self.frames_per_second, self.seconds)


@dataclasses.dataclass(frozen=True)
class Set:
  """A set of videos.

  Attributes:
    seed: random seed.
    subjects: numbers of the faces.
  """

  seed: int
  subjects: tuple[int, ...]

  def plans(self) -> list[Plan]:
    """The videos of the set: per subject, two with expressions, three without.

    Those with expressions last two minutes at 30 frames per second and one
    minute at 200. Those without last 30 seconds at 30 frames per second or, for
    every other subject, 10 seconds at 200.
    """
    found = []
    for turn, subject in enumerate(self.subjects):
      silent = ((30, 30), (200, 10))[turn % 2]
      takes = [
        ('expressions', 30, 120),
        ('expressions', 200, 60),
        *((content, *silent) for content in ('talk', 'blinks', 'still')),
      ]
      for take, (content, rate, seconds) in enumerate(takes):
        quality = _QUALITIES[(turn + take) % len(_QUALITIES)]
        name = f's{subject:03d}_{content}_{rate}fps'
        found.append(Plan(name, subject, take, content, rate, seconds, quality))
    return found


SETS: Mapping[str, Set] = {
  'development': Set(1, (0, 1, 2, 3)),
  'test': Set(2, (100, 101, 102, 103, 104, 105)),
}


def drawn(seed: int, subject: int) -> faces.Face:
  """Draws the face of a subject.

  Args:
    seed: random seed of the set.
    subject: number of the face.
  """
  rng = layouts.generator(_STREAM, seed, subject, 'face')
  return faces.draw(rng, subject, _HEIGHT, _WIDTH)


def _truth(plan: Plan, script: acting.Script) -> list[dict]:
  rows = [
    {
      'video': plan.name,
      'onset': item.onset,
      'apex': item.apex,
      'offset': item.offset,
      'kind': intervals.kind_of(
        item.onset, item.offset, plan.frames_per_second
      ),
      'emotion': item.emotion,
    }
    for item in script.expressions
  ]
  return rows or [{'video': plan.name}]


def write_table(
  path: pathlib.Path, columns: Sequence[str], rows: Sequence[Mapping]
) -> None:
  """Writes a CSV file.

  Args:
    path: of the file.
    columns: names, in order.
    rows: column -> value; a missing value becomes an empty cell.
  """
  with path.open('w', newline='', encoding='utf-8') as file:
    writer = csv.DictWriter(file, columns, restval='')
    writer.writeheader()
    writer.writerows(rows)


def write(
  chosen: Set,
  root: pathlib.Path,
  face_of: Callable[[int, int], faces.Face] = drawn,
  track: progress.Track = progress.silent,
) -> pathlib.Path:
  """Renders the videos of a set.

  Existing videos, of an interrupted run, are not rendered again.

  Args:
    chosen: the set.
    root: folder to write. It gets one `NAME.mp4` per video, `videos.csv` with
      all videos, and `truth.csv` with their expressions, frames from 0.
    face_of: (seed, subject) -> face.
    track: called as `track(plans, description=..., total=...)`, for progress.

  Returns:
    `root`.

  Raises:
    errors.UserError: PyAV is not installed.
  """
  root.mkdir(parents=True, exist_ok=True)
  plans = chosen.plans()
  videos, truth = [], []
  for plan in track(plans, description='Rendering videos', total=len(plans)):
    script = plan.script(chosen.seed)
    path = root / f'{plan.name}.mp4'
    if not path.exists():
      _film(plan, script, chosen.seed, face_of, path)
    truth += _truth(plan, script)
    values = (plan.name, f's{plan.subject:03d}', script.frames,
              plan.frames_per_second)  # fmt: skip
    videos.append(dict(zip(VIDEO_COLUMNS, values)))
  write_table(root / 'videos.csv', VIDEO_COLUMNS, videos)
  write_table(root / 'truth.csv', TRUTH_COLUMNS, truth)
  (root / raw_folder.SIMULATED_MARK).write_text(
    'These videos are simulated by `dianet simulate-videos`. They show no real'
    ' people or emotions.\n',
    encoding='utf-8',
  )
  return root


def _film(plan, script, seed, face_of, path):
  """Renders a video to a temporary file and renames it when complete."""
  rng = layouts.generator(_STREAM, seed, plan.subject, 'clip', plan.take)
  camera = long_videos.Camera(quality=plan.quality)
  face = face_of(seed, plan.subject)
  temporary = path.with_suffix('.part.mp4')
  frames = long_videos.film(face, script, camera, rng)
  long_videos.write(temporary, frames, plan.frames_per_second, plan.quality)
  temporary.replace(path)


def main(arguments: Sequence[str]) -> None:
  """Runs `dianet simulate-videos`.

  Args:
    arguments: of the command line, without the program.

  Raises:
    SystemExit: the folder cannot be written; with a message.
  """
  trees = long_video_trees.TREES
  parser = argparse.ArgumentParser(
    prog='dianet simulate-videos',
    description='Writes long videos of drawn faces with annotated expressions.',
  )
  parser.add_argument(
    '--set',
    required=True,
    choices=[*SETS, *trees],
    help='the set for development or for testing spotters, or a small raw data'
    f' set in the layout of {" or ".join(trees)}',
  )
  parser.add_argument('--root', required=True, help='folder to write')
  options = parser.parse_args(arguments)
  root = pathlib.Path(options.root).expanduser()
  try:
    if options.set in trees:
      long_video_trees.write(options.set, root)
      print(f'dianet check --dataset={options.set} --manual_dir={root}')
      return
    write(SETS[options.set], root, track=progress.track)
  except errors.UserError as error:
    sys.exit(f'error: {error}')
  except OSError as error:
    sys.exit(f'error: {root} cannot be written ({error.strerror}).')
  print(
    f'Wrote the {options.set} set to {root}: videos.csv lists the videos,'
    ' truth.csv their expressions. Next:\n\n'
    f'  dianet spot --truth={root} --out=spotted\n'
  )
