"""Shared by all builders: checking clips, and errors about raw folders."""

from collections.abc import Callable, Sequence
import concurrent.futures
import dataclasses
import os
import pathlib
from typing import Any

from dianet_jax.clips import images
from dianet_jax.core import errors, limits, progress
from tfds_builders import frames, identity, pixels

# The builder config that reads any variant that the folder holds.
ANY_VARIANT = 'any'
# A file of this name marks simulated data.
SIMULATED_MARK = 'SIMULATED.md'
_MOST_LISTED = 8
# What to do with a clip whose annotation is doubtful: its apex is missing,
# outside the clip, at its onset or at its offset; its frames do not reach from
# onset to offset, or some are missing; it is on the list of known mistakes; two
# rows annotate it differently; it has no frames.
#   repair: repaired by rule, with a note. An apex that is missing or outside is
#     spotted; one at an end is kept. If no rule applies, the clip is bad.
#   spot: the same, but an apex at an end is spotted, too.
#   drop: left out, with a note.
#   strict: a bad clip; repeated rows and folders are doubts as well.
# Bad clips are an error unless `skip_bad_clips` leaves them out.
POLICIES = ('repair', 'spot', 'drop', 'strict')
DEFAULT_POLICY = 'repair'


class BadClipError(Exception):
  """A clip cannot be used; the message gives the reason and file or row."""


class DroppedClipError(BadClipError):
  """The policy leaves the clip out; not an error for the user."""


class NothingFoundError(errors.UserError):
  """The folder does not hold the data set."""


def bad_clip(policy: str, reason: str) -> BadClipError:
  """Makes the error for a doubtful annotation that cannot be repaired.

  Args:
    policy: one of `POLICIES`.
    reason: for the message.
  """
  return (DroppedClipError if policy == 'drop' else BadClipError)(reason)


@dataclasses.dataclass(frozen=True)
class Clip:
  """An annotated clip.

  Attributes:
    clip_id: '<subject>/<clip>'.
    read: decodes every image once and returns the record, with paths instead of
      images. `read(decode=False)` opens no image, and an apex to be spotted is
      0. A `pixels.Witness` given as `witness` is shown every image that is
      opened. Raises BadClipError.
    emotion: as annotated.
  """

  clip_id: str
  read: Callable[..., dict[str, Any]]
  emotion: str = ''


@dataclasses.dataclass(frozen=True)
class Found:
  """Content of a raw folder, before any image was opened.

  Attributes:
    root: the folder.
    annotation_files: the spreadsheets or lists that were read; empty if folders
      name the emotion.
    clips: sorted by clip id.
    image_files: every image on which a record can depend.
    notes: choices made, one sentence each.
    variant: variant of the layout; '' if there is only one, or it is unknown.
    has_phases: whether the records hold frames and key frames, so that each
      phase must have motion; otherwise they hold images.
  """

  root: pathlib.Path
  annotation_files: tuple[pathlib.Path, ...]
  clips: list[Clip]
  image_files: list[pathlib.Path]
  notes: list[str]
  variant: str = ''
  has_phases: bool = True

  @property
  def simulated(self) -> bool:
    """Whether the mark lies beside or above the annotations or an image.

    The position of the root, and links, have no effect: neither makes simulated
    data real.
    """
    folders = {
      path.parent for path in (*self.annotation_files, *self.image_files)
    }
    folders |= {folder.resolve() for folder in folders}
    above = {parent for folder in folders for parent in folder.parents}
    # If a folder cannot be searched, `os.path.exists` is False.
    return any(os.path.exists(f / SIMULATED_MARK) for f in folders | above)


@dataclasses.dataclass(frozen=True)
class Checked:
  """Records that are safe to write, and what was noticed while reading them.

  Attributes:
    records: in the order of the clips.
    left_out: (clip id, reason) of the other clips.
    findings: oddities in the pixels.
    same_frames: notes on clips with the same frames.
  """

  records: list[dict[str, Any]]
  left_out: list[tuple[str, str]]
  findings: list[pixels.Finding] = dataclasses.field(default_factory=list)
  same_frames: list[str] = dataclasses.field(default_factory=list)

  @property
  def notes(self) -> list[str]:
    """Notes for the report of a run, one sentence each."""
    total = len(self.records)
    return [f.text(total) for f in self.findings] + self.same_frames


@dataclasses.dataclass(frozen=True)
class Guide:
  """Where a data set comes from, and its layout on disk; for messages.

  Attributes:
    title: name of the data set, as it is published.
    source: where to get it, one or more sentences.
    layout: example paths, one per line.
  """

  title: str
  source: str
  layout: str

  @property
  def instructions(self) -> str:
    """Instructions for users who do not have the data yet."""
    return f'{self.source}\nExpected layout:\n{self.layout}'

  def error(
    self,
    problem: str,
    manual_dir: str | os.PathLike[str],
    folders: Sequence[frames.Folder] = (),
  ) -> NothingFoundError:
    """Makes the error for a missing data set, with the expected layout.

    Args:
      problem: what is missing, one sentence.
      manual_dir: the folder that was searched.
      folders: folders found there.
    """
    if manual_dir:
      looked = os.path.abspath(os.path.expanduser(manual_dir))
      looked_in = f'Looked in: {looked}\nFound there: {_inventory(folders)}\n'
    else:
      looked_in = ''
    return NothingFoundError(
      f'{self.title}: {problem}\n{looked_in}Expected layout:\n{self.layout}\n'
      f'{self.source}\n'
      'Name the folder with --config.data.manual_dir=/path/to/folder; commands'
      ' of `dianet` that have no --config take --manual_dir.'
    )

  def walk(
    self, manual_dir: str | os.PathLike[str]
  ) -> tuple[pathlib.Path, list[frames.Folder]]:
    """Lists all folders at and below the raw folder.

    Args:
      manual_dir: the raw folder.

    Returns:
      Its absolute path, and the folders.

    Raises:
      NothingFoundError: no folder is given, or it is missing, not a folder or
        empty.
    """
    if not manual_dir:
      raise self.error('no folder with the raw data was given.', '')
    root = pathlib.Path(os.path.abspath(os.path.expanduser(manual_dir)))
    if not root.exists():
      raise self.error('the folder does not exist.', root)
    if not root.is_dir():
      raise self.error('this is a file, not a folder.', root)
    folders = frames.walk(root)
    if not any(folder.file_names for folder in folders):
      raise self.error('the folder is empty.', root, folders)
    return root, folders


def _inventory(folders: Sequence[frames.Folder]) -> str:
  """One line on the content of a folder."""
  if not folders:
    return 'nothing'
  root = folders[0].path
  top = [str(f.path.relative_to(root)) + '/' for f in folders[1:]]
  top = [name for name in top if name.count('/') == 1]
  top += folders[0].file_names
  if not top:
    return 'nothing'
  images = sum(len(folder.image_names) for folder in folders)
  names = ', '.join(top[:_MOST_LISTED])
  more = f' and {len(top) - _MOST_LISTED} more' * (len(top) > _MOST_LISTED)
  return f'{names}{more}; {images} images in all'


def check(
  guide: Guide,
  found: Found,
  skip_bad_clips: bool = False,
  track: progress.Track = progress.silent,
) -> Checked:
  """Opens every image once, on all cores.

  Args:
    guide: for messages.
    found: the clips.
    skip_bad_clips: whether to leave bad clips out instead of raising.
    track: called as `track(items, description=..., total=...)`, for progress.

  Returns:
    The records in the order of the clips, what was left out, and oddities in
    the pixels.

  Raises:
    errors.UserError: a clip is bad, no clip is left, or clips of two subjects
      hold the same frames.
  """
  records, witnesses, left_out, bad = [], [], [], []
  # Threads are enough: OpenCV releases the interpreter lock.
  with concurrent.futures.ThreadPoolExecutor(limits.cores()) as pool:
    try:
      results = pool.map(_try_to_read, found.clips)
      description = f'Checking {guide.title}'
      tracked = track(results, description=description, total=len(found.clips))
      for clip, (result, witness) in zip(found.clips, tracked, strict=True):
        if isinstance(result, BadClipError):
          left_out.append((clip.clip_id, str(result)))
          if not isinstance(result, DroppedClipError):
            bad.append(left_out[-1])
        else:
          records.append(result)
          witnesses.append(witness)
    except BaseException:
      # Otherwise an interrupt would wait for all clips.
      pool.shutdown(wait=False, cancel_futures=True)
      raise
  if (bad and not skip_bad_clips) or not records:
    raise _bad_clips_error(guide, found, bad or left_out)
  return Checked(
    records,
    left_out,
    pixels.find_odd(records, witnesses, found.has_phases),
    identity.compare_frames(guide.title, found.root, records, witnesses),
  )


def _try_to_read(
  clip: Clip,
) -> tuple[dict[str, Any] | BadClipError, pixels.Witness]:
  witness = pixels.Witness()
  try:
    record = clip.read(witness=witness)
  except BadClipError as error:
    return error, witness
  witness.forget_frame()
  return record, witness


def _bad_clips_error(
  guide: Guide, found: Found, left_out: list[tuple[str, str]]
) -> errors.UserError:
  lines = [f'  {clip_id}: {why}' for clip_id, why in left_out[:_MOST_LISTED]]
  if len(left_out) > _MOST_LISTED:
    lines.append(f'  and {len(left_out) - _MOST_LISTED} more')
  number = f'{len(left_out)} of {len(found.clips)} clips'
  advice = (
    'Repair or restore them'
    if len(left_out) == len(found.clips)
    else 'Repair or restore them, or leave these clips out with '
    '--config.data.skip_bad_clips=true'
  )
  return errors.UserError(
    f'{guide.title}: {number} cannot be used.\nLooked in: {found.root}\n'
    + '\n'.join(lines)
    + f'\n{advice}.'
  )


def read_image(
  path: pathlib.Path,
  root: pathlib.Path,
  witness: pixels.Witness | None = None,
) -> Any:
  """Decodes an image file to uint8 [height, width, 3], RGB.

  Args:
    path: the file.
    root: paths in messages are relative to it.
    witness: is shown the image.

  Raises:
    BadClipError: it cannot be decoded; the message names the file.
  """
  encoded = read_file(path, root)
  try:
    image = images.decode(encoded)
    if witness:
      witness.see(path, images.header(encoded), image)
  except ValueError as error:
    raise _bad_image(path, root, error) from error
  return image


def read_file(path: pathlib.Path, root: pathlib.Path) -> bytes:
  """Reads the bytes of an image file.

  Args:
    path: the file.
    root: paths in messages are relative to it.

  Raises:
    BadClipError: the file cannot be read; the message names it.
  """
  try:
    return images.read(path)
  except (OSError, ValueError) as error:
    raise _bad_image(path, root, error) from error


def read_header(
  path: pathlib.Path, root: pathlib.Path, witness: pixels.Witness
) -> None:
  """Reads the header of an image file, and little more.

  Args:
    path: the file.
    root: paths in messages are relative to it.
    witness: gets the header.

  Raises:
    BadClipError: the file or its header cannot be read.
  """
  try:
    witness.see_header(path, images.read_header(path))
  except (OSError, ValueError) as error:
    raise _bad_image(path, root, error) from error


def _bad_image(
  path: pathlib.Path, root: pathlib.Path, error: OSError | ValueError
) -> BadClipError:
  reason = error.strerror if isinstance(error, OSError) else error
  return BadClipError(f'{path.relative_to(root)} {reason}')
