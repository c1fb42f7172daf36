"""Aligns the faces of raw frames, by one transform per clip.

Landmarks jitter by a pixel between frames, as much as a micro-expression moves.
So the face is detected once, in the onset frame, and the same similarity
transform is applied to every frame of the clip, which adds no motion.

Detector and landmarks are dlib's and work offline: their files are in the
package face-recognition-models (both in the public domain, CC0).
"""

from collections.abc import Callable, Mapping, Sequence
import concurrent.futures
import dataclasses
import importlib.util
import math
import pathlib
import threading
from typing import Any

import cv2
from jaxtyping import Float64, UInt8
import numpy as np

from dianet_jax.clips import images
from dianet_jax.core import errors, limits, progress

INSTALL = 'pip install dlib-bin face-recognition-models==0.3.0'
# Position of the eyes' centres, as fractions of the side. With a distance of
# 0.36, brows, chin and cheeks are inside.
EYE_DISTANCE = 0.36
_EYE_HEIGHT = 0.35
# Frames are reduced to this size for detection, which is then ten times faster.
# The detector finds faces from 80 pixels on, which suffices at this size.
_DETECTION_PIXELS = 640
_LANDMARK_FILE = 'models/shape_predictor_5_face_landmarks.dat'
_MOST_LISTED = 8

# One per thread: detectors have state, and dlib releases the interpreter lock.
_thread = threading.local()


class NoFaceError(ValueError):
  """No face was detected in a frame."""


@dataclasses.dataclass(frozen=True)
class Face:
  """The largest face of a frame.

  Attributes:
    transform: float64 [2, 3], similarity (rotation, scale, shift) from (x, y)
      of the frame to (x, y) of the aligned image, in pixels, for `apply`.
    width: width of the detected face, in pixels of the frame.
    faces: number of detected faces.
  """

  transform: Float64[np.ndarray, '2 3']
  width: int
  faces: int


def find(frame: UInt8[np.ndarray, 'height width 3'], size: int) -> Face:
  """Detects the face in a clip's onset frame and computes its alignment.

  The eyes are aligned to fixed positions on a horizontal line. Of several faces
  the largest is used. Safe to call from several threads.

  Args:
    frame: RGB, 0..255.
    size: side of the aligned image, in pixels.

  Raises:
    NoFaceError: no face was detected.
    UserError: dlib or the landmark file is not installed.
  """
  left, right, width, faces = _eyes(frame)
  # From the eyes' positions to the target positions, as complex numbers.
  wanted_left = complex(0.5 - EYE_DISTANCE / 2, _EYE_HEIGHT) * size
  wanted_right = complex(0.5 + EYE_DISTANCE / 2, _EYE_HEIGHT) * size
  turn = (wanted_right - wanted_left) / (right - left)
  shift = wanted_left - turn * left
  transform = np.array(
    [
      [turn.real, -turn.imag, shift.real],
      [turn.imag, turn.real, shift.imag],
    ]
  )
  return Face(transform, width, faces)


def find_transform(
  frame: UInt8[np.ndarray, 'height width 3'], size: int
) -> Float64[np.ndarray, '2 3']:
  """Detects the face of a frame and returns its transform.

  Args:
    frame: RGB, 0..255.
    size: side of the aligned face in pixels.

  Returns:
    Affine transform from the frame to the aligned face, for `apply`.

  Raises:
    NoFaceError: no face is detected.
    UserError: the face detector is not installed.
  """
  return find(frame, size).transform


def apply(
  frame: UInt8[np.ndarray, 'height width *channel'],
  transform: Float64[np.ndarray, '2 3'],
  size: int,
) -> UInt8[np.ndarray, 'size size *channel']:
  """Applies a transform to a frame; pixels outside the frame are black.

  A larger face is first resampled at its own resolution and then averaged over
  areas, to avoid aliasing.

  Args:
    frame: RGB or grey, 0..255.
    transform: of its clip, from `find_transform` with the same size.
    size: side of the result, in pixels.
  """
  scale = math.hypot(transform[0, 0], transform[1, 0])
  finer = max(1, math.ceil(1 / scale - 1e-6))
  # Pixel centres have integer coordinates: 0 of the small image is the centre
  # of the first `finer` pixels of the large one.
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
  frame_size: int,
  skip_bad_clips: bool = False,
  track: progress.Track = progress.silent,
) -> tuple[dict[str, Float64[np.ndarray, '2 3']], list[tuple[str, str]]]:
  """The transform of every clip, on all cores.

  Args:
    records: of each `clip_id`, `frames` (bytes of the files, or their paths)
      and `onset`, an index into the frames.
    frame_size: side of the aligned images, in pixels.
    skip_bad_clips: leave out clips without a face instead of raising.
    track: called as `track(items, description=..., total=...)`: progress.

  Returns:
    Clip id -> transform, and (clip id, reason) of every clip left out.

  Raises:
    UserError: no face is detected in some clips (all are listed), no clip is
      left, or dlib is not installed.
  """
  _models()

  def find(index: int) -> tuple[str, Any]:
    record = records[index]
    clip_id = record['clip_id']
    name = clip_id.decode() if isinstance(clip_id, bytes) else clip_id
    onset = images.load(record['frames'][record['onset']])
    try:
      return name, find_transform(onset, frame_size)
    except NoFaceError as error:
      return name, str(error)

  found, left_out = {}, []
  with concurrent.futures.ThreadPoolExecutor(limits.cores()) as pool:
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
      + '\nInspect them (dianet align), leave them out with '
      '--config.data.skip_bad_clips=true, or disable alignment with '
      '--config.data.align=false.'
    )
  return found, left_out


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
    # Importing the package fails without pkg_resources, so only its file is
    # read.
    spec = importlib.util.find_spec('face_recognition_models')
    folders = (spec.submodule_search_locations or []) if spec else []
    paths = [pathlib.Path(folder, _LANDMARK_FILE) for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
      raise _not_installed('the landmark file of face-recognition-models')
    # The compiled module declares no names.
    _thread.models = (
      dlib.get_frontal_face_detector(),  # pyright: ignore[reportAttributeAccessIssue]
      dlib.shape_predictor(str(path)),  # pyright: ignore[reportAttributeAccessIssue]
    )
  return _thread.models


def _not_installed(what: str) -> errors.UserError:
  return errors.UserError(
    f'Alignment of faces needs {what}, which is not installed. Install the '
    f"extra 'align':\n  {INSTALL}\n"
    'or disable alignment: --config.data.align=false.'
  )


def _eyes(frame: np.ndarray) -> tuple[complex, complex, int, int]:
  """Centres of the left and the right eye in the image, as x + iy.

  Also returns the width of the face in pixels, and the number of faces.
  """
  detect, landmarks = _models()
  # dlib ignores the strides of a view, so it needs a contiguous array.
  frame = np.ascontiguousarray(frame)
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
    raise NoFaceError('the eyes of the detected face coincide')
  return left, right, box.width(), len(boxes)
