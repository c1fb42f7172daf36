"""Upright faces of one size from raw frames, by one transform a clip.

    python -m tfds_builders.align --dataset=casme2 --manual_dir=DIR --out=PNG

draws frames before and after. Landmarks jitter by a pixel from frame to frame,
as much as a micro-expression moves: so the face is found once, on the onset
frame, and every frame of the clip goes through the same similarity transform.
What was still before stays still.

The detector and the landmarks are dlib's, offline: their files come in the
package face-recognition-models (both in the public domain, CC0).
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
import concurrent.futures
import dataclasses
import importlib.util
import math
import os
import pathlib
import sys
import threading
from typing import Any

import cv2
from jaxtyping import Float64, UInt8
import numpy as np

from dianet_jax.core import errors
from tfds_builders import frames, prepare, raw_folder

INSTALL = 'pip install dlib-bin face-recognition-models==0.3.0'
# Where the middles of the eyes go, in shares of the side. With 0.36 of it
# between them brows, chin and cheeks are inside.
_EYE_DISTANCE = 0.36
_EYE_HEIGHT = 0.35
# The detector finds faces of 80 pixels and more: none that matters is smaller
# in a frame of this size, and detection takes a tenth of the time.
_DETECTION_PIXELS = 640
_LANDMARK_FILE = 'models/shape_predictor_5_face_landmarks.dat'
_MOST_LISTED = 8

# Detectors keep state while they run, and dlib releases the interpreter lock.
_thread = threading.local()


class NoFaceError(ValueError):
  """No face was found in a frame."""


def find_transform(
  frame: UInt8[np.ndarray, 'height width 3'], size: int
) -> Float64[np.ndarray, '2 3']:
  """Finds the face in a clip's onset frame and how to bring it upright.

  The eyes come to rest on a horizontal line at fixed places. Of several faces
  the largest counts. Safe to call from several threads.

  Args:
    frame: RGB, 0..255.
    size: side of the aligned image, in pixels.

  Returns:
    The similarity transform (rotation, scale, shift) from the frame's (x, y)
    to the aligned image's, in pixels, for `apply`.

  Raises:
    NoFaceError: no face was found.
    errors.UserError: dlib or the landmark file is not installed.
  """
  left, right = _eyes(frame)
  # From where an eye is to where it belongs, as complex numbers.
  wanted_left = complex(0.5 - _EYE_DISTANCE / 2, _EYE_HEIGHT) * size
  wanted_right = complex(0.5 + _EYE_DISTANCE / 2, _EYE_HEIGHT) * size
  turn = (wanted_right - wanted_left) / (right - left)
  shift = wanted_left - turn * left
  return np.array(
    [
      [turn.real, -turn.imag, shift.real],
      [turn.imag, turn.real, shift.imag],
    ]
  )


def apply(
  frame: UInt8[np.ndarray, 'height width 3'],
  transform: Float64[np.ndarray, '2 3'],
  size: int,
) -> UInt8[np.ndarray, 'size size 3']:
  """Crops and resizes a frame; outside of it all is black.

  A larger face is first drawn at its own resolution and then averaged over
  areas, so that reducing it does not alias.

  Args:
    frame: RGB, 0..255.
    transform: of its clip, from `find_transform` with the same size.
    size: side of the result, in pixels.
  """
  scale = math.hypot(transform[0, 0], transform[1, 0])
  finer = max(1, math.ceil(1 / scale - 1e-6))
  # Pixel centres lie at whole numbers: 0 of the small image is the middle of
  # the first `finer` pixels of the large one.
  enlarged = finer * transform
  enlarged[:, 2] += (finer - 1) / 2
  drawn = cv2.warpAffine(
    frame, enlarged, (finer * size, finer * size), flags=cv2.INTER_LINEAR
  )
  if finer == 1:
    return drawn
  return cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA)


def find_transforms(
  records: Sequence[Mapping[str, Any]],
  size: int,
  skip_bad_clips: bool = False,
  track: raw_folder.Track = lambda items, description, total: items,
) -> tuple[dict[str, Float64[np.ndarray, '2 3']], list[tuple[str, str]]]:
  """The transform of every clip, on all cores.

  Args:
    records: as `prepare.prepare` hands them out, or the builders' with the
      paths of the frames.
    size: side of the aligned images, in pixels.
    skip_bad_clips: leave out clips without a face instead of raising.
    track: called as `track(items, description=..., total=...)`: progress.

  Returns:
    Clip id -> transform, and (clip id, reason) of every clip left out.

  Raises:
    errors.UserError: a clip shows no face (all are named), no clip is left,
      or dlib is not installed.
  """
  _models()

  def find(index: int) -> tuple[str, Any]:
    record = records[index]
    clip_id = record['clip_id']
    name = clip_id.decode() if isinstance(clip_id, bytes) else clip_id
    try:
      return name, find_transform(_frame(record, record['onset']), size)
    except NoFaceError as error:
      return name, str(error)

  found, left_out = {}, []
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    results = pool.map(find, range(len(records)))
    try:
      for clip_id, result in track(
        results, description='Finding faces', total=len(records)
      ):
        if isinstance(result, str):
          left_out.append((clip_id, result))
        else:
          found[clip_id] = result
    except BaseException:
      pool.shutdown(wait=False, cancel_futures=True)
      raise
  if left_out and (not skip_bad_clips or not found):
    lines = [f'  {clip_id}: {why}' for clip_id, why in left_out[:_MOST_LISTED]]
    if len(left_out) > _MOST_LISTED:
      lines.append(f'  and {len(left_out) - _MOST_LISTED} more')
    raise errors.UserError(
      f'{len(left_out)} of {len(records)} clips cannot be aligned:\n'
      + '\n'.join(lines)
      + '\nLook at them (python -m tfds_builders.align), leave them out with '
      '--config.data.skip_bad_clips=true, or do without alignment with '
      '--config.data.align=false.'
    )
  return found, left_out


def _frame(record: Mapping[str, Any], index: int) -> np.ndarray:
  """A frame of a record, from its bytes or its path."""
  image = record['frames'][index]
  return frames.decode(
    image if isinstance(image, bytes) else frames.read(image)
  )


def _models() -> tuple[Callable, Callable]:
  """This thread's detector and landmark predictor.

  Raises:
    errors.UserError: not installed.
  """
  if not hasattr(_thread, 'models'):
    try:
      import dlib
    except ImportError as error:
      raise _not_installed('dlib') from error
    # Importing the package fails without pkg_resources: only its file is read.
    spec = importlib.util.find_spec('face_recognition_models')
    folders = (spec.submodule_search_locations or []) if spec else []
    paths = [pathlib.Path(folder, _LANDMARK_FILE) for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
      raise _not_installed('the landmark file of face-recognition-models')
    _thread.models = (
      dlib.get_frontal_face_detector(),
      dlib.shape_predictor(str(path)),
    )
  return _thread.models


def _not_installed(what: str) -> errors.UserError:
  return errors.UserError(
    f'Alignment of faces needs {what}, which is not installed. Install the '
    f"extra 'align':\n  {INSTALL}\n"
    'or do without alignment: --config.data.align=false.'
  )


def _eyes(frame: np.ndarray) -> tuple[complex, complex]:
  """The middles of the eyes at the left and right of the image, x + iy."""
  detect, landmarks = _models()
  height, width = frame.shape[:2]
  scale = min(1.0, _DETECTION_PIXELS / max(height, width))
  small = frame
  if scale < 1:
    size = max(1, round(scale * width)), max(1, round(scale * height))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
  # The second try doubles the image: a face of 40 pixels.
  boxes = detect(small, 0) or detect(small, 1)
  if not boxes:
    raise NoFaceError(f'no face was found ({width} x {height} pixels)')
  box = max(boxes, key=lambda box: box.area())
  corners = [box.left(), box.top(), box.right(), box.bottom()]
  box = type(box)(*(round(corner / scale) for corner in corners))
  points = [complex(p.x, p.y) for p in landmarks(frame, box).parts()]
  # Corners of the person's left eye, then of the right one, then the nose.
  right, left = sum(points[0:2]) / 2, sum(points[2:4]) / 2
  if abs(right - left) < 1:
    raise NoFaceError('the face that was found has its eyes in one place')
  return left, right


def contact_sheet(
  records: Iterable[Mapping[str, Any]], size: int = 224
) -> tuple[UInt8[np.ndarray, 'height width 3'], list[tuple[str, str]]]:
  """Clips before and after alignment, a row each.

  Args:
    records: as for `find_transforms`.
    size: side of the aligned images, in pixels.

  Returns:
    Columns: the onset frame with the square that is kept, the aligned onset
    and apex frames, and four times their difference, around mid-grey. And
    (clip id, reason) of the clips without a face.
  """
  rows, left_out = [], []
  for record in records:
    onset = _frame(record, record['onset'])
    scale = size / max(onset.shape[:2])
    cells = np.zeros((size, 4, size, 3), np.uint8)
    try:
      transform = find_transform(onset, size)
    except NoFaceError as error:
      left_out.append((record['clip_id'], str(error)))
      marked = onset
    else:
      apex = _frame(record, record['apex'])
      after = [apply(frame, transform, size) for frame in (onset, apex)]
      difference = after[1].astype(np.int16) - after[0]
      cells[:, 1], cells[:, 2] = after
      cells[:, 3] = np.clip(127 + 4 * difference, 0, 255)
      corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], float)
      back = cv2.invertAffineTransform(transform)
      square = np.round(cv2.transform(corners[None], back)).astype(np.int32)
      thick = max(1, round(2 / scale))
      marked = cv2.polylines(onset, square, True, (0, 255, 0), thick)
    small = cv2.resize(
      marked, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    cells[: small.shape[0], 0, : small.shape[1]] = small[:size, :size]
    rows.append(cells.reshape(size, 4 * size, 3))
  return np.concatenate(rows), left_out


def main(arguments: Sequence[str] | None = None) -> None:
  """Draws a contact sheet of clips before and after alignment.

  Args:
    arguments: the command line's, without the program.

  Raises:
    SystemExit: with a message, where there is an `errors.UserError`.
  """
  parser = argparse.ArgumentParser(
    prog='python -m tfds_builders.align',
    description='Draws clips before and after the alignment of their faces.',
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  parser.add_argument('--dataset', required=True)
  parser.add_argument('--manual_dir', required=True, help='the raw data')
  parser.add_argument('--variant', default='', help='of the layout')
  parser.add_argument('--out', required=True, help='PNG file to write')
  parser.add_argument('--clips', type=int, default=8, help='spread over all')
  parser.add_argument('--size', type=int, default=224, help='in pixels')
  options = parser.parse_args(arguments)
  if options.clips < 1 or options.size < 8:
    parser.error('--clips must be at least 1 and --size at least 8')
  try:
    builder_cls = prepare.builder_class(options.dataset, options.variant)
    if 'frames' not in builder_cls.IMAGE_FEATURES:
      raise errors.UserError(f'{options.dataset} holds no frames to align.')
    found = builder_cls.find(options.manual_dir, options.variant)
    step = max(1, len(found.clips) // options.clips)
    chosen = found.clips[::step][: options.clips]
    checked = raw_folder.check(
      builder_cls.GUIDE,
      dataclasses.replace(found, clips=chosen),
      skip_bad_clips=True,
    )
    sheet, left_out = contact_sheet(checked.records, options.size)
  except errors.UserError as error:
    sys.exit(str(error))
  if not options.out.casefold().endswith('.png') or not cv2.imwrite(
    options.out, sheet[..., ::-1]
  ):
    sys.exit(f'{options.out} cannot be written: expected a .png file.')
  for clip_id, why in checked.left_out + left_out:
    print(f'{clip_id}: {why}')
  print(
    f'{options.out}: {len(checked.records)} of {len(found.clips)} clips, a row '
    'each; from the left: onset with the square that is kept, onset, apex, '
    'their difference times 4'
  )


if __name__ == '__main__':
  main()
