"""The long videos that spotters are developed on, and those that judge them.

    dianet simulate-videos --set=development --root=PATH

The sets are laid down here: who acts, for how long, how it is filmed. The rule:
a spotter, its constants and its thresholds are made with the development set;
the test set is rendered and scored once the spotter is done. No subject and no
seed is in both.
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

# Sets these random numbers apart from those of data sets.
_STREAM = 20
_HEIGHT, _WIDTH = 256, 320
# Of H.264, in turn.
_QUALITIES = (18, 23, 28)
VIDEO_COLUMNS = ('video', 'subject', 'frames', 'frames_per_second')
TRUTH_COLUMNS = ('video', 'onset', 'apex', 'offset', 'kind', 'emotion')


@dataclasses.dataclass(frozen=True)
class Plan:
  """One video of a set.

  Attributes:
    name: of the file, without its ending.
    subject: number of the face; says everything that is random, too.
    take: number of the video among the subject's.
    content: see `acting.write`.
    frames_per_second: of the camera.
    seconds: how long it takes.
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
    """What happens in it."""
    rng = layouts.generator(_STREAM, seed, self.subject, 'plan', self.take)
    return acting.write(rng, self.content, self.frames_per_second, self.seconds)


@dataclasses.dataclass(frozen=True)
class Set:
  """A set of videos; `subjects` are numbers of faces."""

  seed: int
  subjects: tuple[int, ...]

  def plans(self) -> list[Plan]:
    """Its videos: of each subject two with expressions, three without.

    Those with expressions take two minutes at 30 frames a second and one at
    200; those without half a minute or, of every other subject, ten seconds at
    200 frames a second.
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
  """The drawn face of a subject."""
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
  """A CSV file of the columns; a missing value is an empty cell."""
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
  """Films a set.

  A video that is there already, from a run that was interrupted, is kept.

  Args:
    chosen: which.
    root: folder to make: `NAME.mp4` of every video; `videos.csv`, which names
      them all; `truth.csv`, the expressions in them, frames from 0.
    face_of: (seed, subject) -> who acts.
    track: called as `track(plans, description=..., total=...)`.

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
    'These videos are made by a program (`dianet simulate-videos`). Nobody in'
    ' them felt anything.\n',
    encoding='utf-8',
  )
  return root


def _film(plan, script, seed, face_of, path):
  """Beside its place, until it is whole."""
  rng = layouts.generator(_STREAM, seed, plan.subject, 'clip', plan.take)
  camera = long_videos.Camera(quality=plan.quality)
  face = face_of(seed, plan.subject)
  aside = path.with_suffix('.part.mp4')
  frames = long_videos.film(face, script, camera, rng)
  long_videos.write(aside, frames, plan.frames_per_second, plan.quality)
  aside.replace(path)


def main(arguments: Sequence[str]) -> None:
  """Films a set of drawn faces and prints what to do with it.

  Args:
    arguments: the command line's, without the program.

  Raises:
    SystemExit: with a message, where it cannot be written.
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
    f'{root} holds the {options.set} set: videos.csv lists the videos and'
    ' truth.csv what is in them. Next:\n\n'
    f'  dianet spot --truth={root} --out=spotted\n'
  )
