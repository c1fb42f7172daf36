"""Writes raw data sets with simulated faces, in the layouts of the real ones.

    dianet simulate --dataset=casme2 --root=PATH

A tree has the folders, file names and spreadsheet that a licensed user has on
disk, so the program runs on it unchanged. Results on it show whether the
program works; they show nothing about people.
"""

import argparse
from collections.abc import Sequence
from concurrent import futures
import dataclasses
import inspect
import json
import os
import pathlib
import re
import sys
import tempfile

import cv2

from dianet_jax.core import errors, progress
from tfds_builders import manifest, raw_folder, registry
from tfds_builders.simulation import faces as faces_lib
from tfds_builders.simulation import layouts as layouts_lib
from tfds_builders.simulation import motion as motion_lib

# To be raised when the same parameters give other pictures.
_VERSION = 1
_RECORDING = motion_lib.Recording()

# Argument -> minimum, maximum, meaning.
_NUMBERS = {
  'subjects': (1, 10_000, 'number of subjects'),
  'clips_per_subject': (
    1,
    10_000,
    'clips per subject; a multiple of 5 balances the emotions',
  ),
  'seed': (0, 2**63 - 1, 'random seed'),
  'frame_height': (48, 2048, 'pixels'),
  'frame_width': (40, 2048, 'pixels'),
}
# More than any data set has; larger spreadsheets are not read, either.
_MOST_CLIPS = 20_000
# All faces are kept in memory, 70 bytes per pixel: 4 GB.
_MOST_FACE_PIXELS = 2**26
_OTHER_ROOT = (
  'Permit writing there, or choose another folder with --root or '
  '--config.data.cache_dir.'
)


def _names() -> list[str]:
  """The data sets that can be simulated."""
  return [name for name in registry.names() if registry.facts(name).simulation]


@dataclasses.dataclass(frozen=True)
class _Parameters:
  """The arguments of `write` that decide what is in the tree."""

  dataset: str
  subjects: int
  clips_per_subject: int
  seed: int
  frame_height: int
  frame_width: int

  def check(self):
    """Raises a `UserError` if a tree cannot be made."""
    if self.layout is None:
      raise errors.UserError(
        f'Cannot simulate the data set {self.dataset!r}: its facts.py declares '
        f'no layout to simulate. Expected one of: {", ".join(_names())}.'
      )
    for name, (least, most, _) in _NUMBERS.items():
      value = getattr(self, name)
      if not isinstance(value, int) or not least <= value <= most:
        raise errors.UserError(
          f'simulate: {name} is {value!r}. Expected a whole number, at least '
          f'{least} and at most {most}.'
        )
    clips = self.subjects * self.clips_per_subject
    if clips > _MOST_CLIPS:
      raise errors.UserError(
        f'simulate: subjects={self.subjects} with clips_per_subject='
        f'{self.clips_per_subject} are {clips} clips; at most {_MOST_CLIPS} '
        'are read. Take fewer of either.'
      )
    pixels = self.subjects * self.frame_height * self.frame_width
    if pixels > _MOST_FACE_PIXELS:
      raise errors.UserError(
        f'simulate: the faces of subjects={self.subjects} in {self.frame_width}'
        f' x {self.frame_height} pixels do not fit in memory: {pixels} pixels,'
        f' at most {_MOST_FACE_PIXELS}. Take fewer subjects or smaller frames.'
      )

  @property
  def layout(self):
    return registry.facts(self.dataset).simulation

  def rng(self, subject, use, clip=0):
    stream = self.layout.stream
    return layouts_lib.generator(stream, self.seed, subject, use, clip)

  def describe(self):
    """Text of `SIMULATED.md`, which depends only on the parameters."""
    text = f"""\
      # Simulated data

      The pictures in this folder are drawn by a program and show no real
      person. They are not part of the data set whose layout they follow
      ({self.dataset}), and a result on them is not a result on that data set.

      Written by `dianet simulate`. Each subject is a face made of soft polygons
      with a texture. A clip warps it by smooth displacements that resemble
      facial action units: `rise` grows from the onset to the apex and fades
      until the offset; `fall` comes and goes between apex and offset.
      Emotions differ in these motions alone: drift of the head, flicker of the
      light, noise and lengths have the same statistics for all. Emotions with
      the same `rise` differ only after the apex. Pixels are those of a face 340
      pixels high.
      """
    listing = json.dumps(
      {
        'version': _VERSION,
        **dataclasses.asdict(self),
        'film': dataclasses.asdict(self.layout.film),
        'recording': dataclasses.asdict(_RECORDING),
        # Action unit: strength.
        'expressions': {
          emotion: f'rise {expression.rise}, fall {expression.fall}'
          for emotion, expression in self.layout.expressions.items()
        },
      },
      indent=1,
    )
    # A range on one line.
    listing = re.sub(r'\[\s*(\S+),\s*(\S+)\s*\]', r'[\1, \2]', listing)
    return f'{inspect.cleandoc(text)}\n\n```json\n{listing}\n```\n'


def _kept(root, description, in_cache):
  """Whether `root` is such a tree already; raises if it is anything else.

  A damaged tree is renamed, and in a cache anything else as well.
  """
  if not os.path.lexists(root) or (root.is_dir() and not any(root.iterdir())):
    return False
  mark = root / raw_folder.SIMULATED_MARK
  differences = _differences(mark, description) if mark.is_file() else None
  if not in_cache:
    _check_replaceable(root, differences)
  if damage := _damage(root, differences):
    manifest.set_aside(root, damage, _OTHER_ROOT)
    return False
  return True


def _differences(mark, description):
  """The lines of parameters that differ from `description`."""
  # Only the parameters; the text above them may be that of an older version.
  old, new = (
    text.partition('```json')[2].splitlines()
    for text in (
      mark.read_text(encoding='utf-8', errors='replace'),
      description,
    )
  )
  if old == new:
    return []
  return [line.strip() for line in old if line not in new] or ['nothing']


def _check_replaceable(root, differences):
  """Raises unless `root` is a tree of the same parameters, even damaged."""
  if differences:
    raise errors.UserError(
      f'{root} holds simulated data made with other parameters. There:\n  '
      + '\n  '.join(differences[:8])
      + '\nName another folder as root, or delete this one.'
    )
  if differences is None and not (root / manifest.NAME).is_file():
    raise errors.UserError(
      f'{root} exists and holds no {raw_folder.SIMULATED_MARK}, so it is not a '
      'simulated data set.\nReal and simulated data must not be mixed: name a '
      'folder that does not exist yet as root.'
    )


def _damage(root, differences):
  if differences is None:
    return f'{raw_folder.SIMULATED_MARK} is missing'
  if differences:
    return f'{raw_folder.SIMULATED_MARK} has other parameters'
  return manifest.damage(root)


def _write_clip(tree, parameters, clip, face, noise):
  rng = parameters.rng(clip.subject, 'clip', clip.index)
  expression = parameters.layout.expressions[clip.emotion]
  weights, fields = motion_lib.motion(
    face, expression, clip.timing, clip.asymmetry, _RECORDING, rng
  )
  frames = motion_lib.film(face, weights, fields, noise, _RECORDING, rng)
  folder = tree / clip.folder
  folder.mkdir(parents=True)
  for number, frame in enumerate(frames, clip.first_number):
    if parameters.layout.film.grey:
      frame = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _RECORDING.jpeg_quality]
    # cv2.imwrite would hide why a file cannot be written, as on a full disk.
    _, data = cv2.imencode('.jpg', frame, quality)
    (folder / clip.file_pattern.format(number)).write_bytes(data)


def _write_tree(tree, parameters, track):
  size = parameters.frame_height, parameters.frame_width
  layout = parameters.layout
  clips = layouts_lib.plan(
    layout,
    parameters.subjects,
    parameters.clips_per_subject,
    parameters.seed,
  )
  noise = motion_lib.noise_bank(
    parameters.rng(0, 'noise'), *size, _RECORDING.noise_levels
  )

  def face(subject):
    rng = parameters.rng(subject, 'face')
    return faces_lib.draw(rng, subject, *size)

  with futures.ThreadPoolExecutor() as pool:
    faces = list(pool.map(face, range(parameters.subjects)))
    written = pool.map(
      lambda clip: _write_clip(
        tree, parameters, clip, faces[clip.subject], noise
      ),
      clips,
    )
    try:
      for _ in track(written, description='Simulating clips', total=len(clips)):
        pass
    finally:
      # After an interrupt, do not write the remaining clips first.
      pool.shutdown(cancel_futures=True)
  rows = layouts_lib.sheet_rows(layout, clips)
  layouts_lib.write_sheet(tree / layout.sheet, layout.title, rows)


def write(
  dataset: str,
  root: str | pathlib.Path,
  *,
  subjects: int = 6,
  clips_per_subject: int = 10,
  seed: int = 0,
  frame_height: int = 280,
  frame_width: int = 230,
  track: progress.Track = progress.silent,
  in_cache: bool = False,
) -> pathlib.Path:
  """Writes a simulated raw data set, or keeps one written before.

  Five emotions, spread evenly over each subject's clips, differ only in motion.
  Two of them (`disgust` and `repression` of CASME II) move alike up to the apex
  and differ between apex and offset. The same arguments give the same bytes on
  the same machine. The tree appears at `root` only when complete. A damaged one
  is renamed and made again, see `manifest`.

  Args:
    dataset: A data set whose facts declare a layout to simulate.
    root: Folder to make, for `config.data.manual_dir`.
    subjects: Number of faces.
    clips_per_subject: A multiple of 5 gives each emotion equally often.
    seed: Determines everything that is random; not negative.
    frame_height: Pixels.
    frame_width: Pixels.
    track: Called as `track(clips, description=..., total=...)`, for progress.
    in_cache: Whether the program chose `root` itself, so that anything else
      there is renamed, too.

  Returns:
    `root`, absolute.

  Raises:
    errors.UserError: The data set is unknown; a number is out of range; `root`
      holds something else, was made with other parameters or cannot be written.
  """
  parameters = _Parameters(
    dataset, subjects, clips_per_subject, seed, frame_height, frame_width
  )
  parameters.check()
  root = pathlib.Path(os.path.abspath(os.path.expanduser(root)))
  try:
    _write_if_need_be(root, parameters, track, in_cache)
  except OSError as error:
    raise errors.UserError(
      f'The simulated data cannot be written to {root}: {error}. {_OTHER_ROOT}'
    ) from error
  return root


def _write_if_need_be(root, parameters, track, in_cache):
  description = parameters.describe()
  if _kept(root, description, in_cache):
    return
  root.parent.mkdir(parents=True, exist_ok=True)
  # Beside the root, because a rename within one file system is atomic.
  with tempfile.TemporaryDirectory(
    dir=root.parent, prefix=f'.{root.name}.'
  ) as scratch:
    tree = pathlib.Path(scratch) / 'tree'
    tree.mkdir()
    _write_tree(tree, parameters, track)
    (tree / raw_folder.SIMULATED_MARK).write_text(description, encoding='utf-8')
    # The description is judged by its parameters alone.
    manifest.write(tree, leave_out=(raw_folder.SIMULATED_MARK,))
    try:
      tree.rename(root)
    except OSError:
      # Another process was faster; an equal tree is as good.
      if not _kept(root, description, in_cache):
        raise


def main(arguments: Sequence[str]) -> None:
  """Writes a tree and prints what to do with it.

  Args:
    arguments: Those of the command line, without the program.

  Raises:
    SystemExit: With the message of a `UserError`.
  """
  parser = argparse.ArgumentParser(
    prog='dianet simulate',
    description='Writes a raw data set with simulated faces.',
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  parser.add_argument(
    '--dataset', required=True, help=f'one of {", ".join(_names())}'
  )
  parser.add_argument('--root', required=True, help='folder to write')
  defaults = inspect.signature(write).parameters
  for name, (_, _, meaning) in _NUMBERS.items():
    default = defaults[name].default
    parser.add_argument(f'--{name}', type=int, default=default, help=meaning)
  options = vars(parser.parse_args(arguments))
  try:
    root = write(**options)
  except errors.UserError as error:
    sys.exit(f'error: {error}')
  frames = sum(1 for _ in root.rglob('*.jpg'))
  clips = options['subjects'] * options['clips_per_subject']
  dataset = options['dataset']
  print(
    f'{root} holds {clips} simulated clips ({frames} frames, '
    f'{options["subjects"]} subjects) in the layout of {dataset};\n'
    f'{raw_folder.SIMULATED_MARK} in it says how they were made. Next:\n\n'
    f'  {registry.train_command(dataset, {"manual_dir": str(root)})}\n'
  )
