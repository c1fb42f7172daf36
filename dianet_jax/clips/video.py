"""Video files and folders of frames, decoded one frame at a time."""

from collections.abc import Iterator
import contextlib
import pathlib
import struct
from typing import Any

import cv2
import numpy as np

from dianet_jax.clips import frame_names, images, segments
from dianet_jax.core import errors

INSTALL = "pip install 'dianet-jax[video]'"
# Mean quantiser of an H.264 key frame, 0 to 51. Measured with x264 on a
# portrait (moving, still, noisy, clean, blurred) and on drawings: 21 to 28 at
# crf 18, 26 to 33 at crf 23, 33 to 40 at crf 30, where half of a motion of half
# a pixel is lost. The bit rate depends more on the motion than on the quality.
_MOST_QUANTISED = 33
# For other codecs, whose quantiser is not available: bits per pixel in the
# first key frame, which do not depend on motion. H.264 has 0.2 to 0.8 at crf
# 30.
_LEAST_BITS = 0.15
# Of FFmpeg's AVVideoEncParams: how many blocks there are, where they begin and
# how long each is; the codec; the frame's quantiser. Of a block: its own,
# behind place and size, as a difference.
_PARAMETERS, _OF_BLOCK, _H264 = struct.Struct('=IxxxxQQii'), 16, 1


# Of FFmpeg: their first plane is the luma, 8 bits a pixel.
_LUMA_FORMATS = frozenset(
  f'yuv{kind}{sampling}p' for kind in ('', 'j') for sampling in (420, 422, 444)
)
# AVCOL_RANGE_JPEG. Any other luma goes from 16 to 235.
_FULL_RANGE = 2
_FROM_VIDEO_RANGE = np.clip(
  np.round((np.arange(256) - 16) * 255 / 219), 0, 255
).astype(np.uint8)


class Video:
  """A source of frames.

  Attributes:
    name: for tables and messages.
    warnings: complete after the needed frames have been read.
  """

  def __init__(self, path: pathlib.Path, fps: float | None = None):
    """Checks the arguments; the file is opened later.

    Args:
      path: a video file or a folder of frames.
      fps: frames per second; required for a folder, and refused for a file,
        which has time stamps.

    Raises:
      UserError: the file or folder does not exist, or `fps` is missing or
        unexpected.
    """
    self.name = str(path)
    self.warnings: list[str] = []
    self._path, self._fps = path, fps
    if not path.exists():
      raise errors.UserError(f'{path}: no such file or folder.')
    if path.is_dir() and fps is None:
      raise errors.UserError(
        f'{path} is a folder of frames: give its frame rate, --fps=NUMBER.'
      )
    if fps is not None:
      segments.check_rate(fps)
      if not path.is_dir():
        raise errors.UserError(
          f'{path}: --fps is for folders of frames; a video has time stamps.'
        )

  def frames(self) -> Iterator[segments.Frame]:
    """Yields all frames in temporal order, with times from 0.

    Raises:
      UserError: the file is not a video, has no frames, or is damaged.
    """
    if self._path.is_dir():
      return self._of_folder()
    return self._of_file()

  def duration(self) -> float:
    """Seconds from the first to the last frame of a file, without decoding.

    Raises:
      UserError: the file is not a video, has no frames, or is damaged.
    """
    av = _library()
    with self._opened(av) as (container, stream):
      try:
        times = [
          packet.pts * packet.time_base
          for packet in container.demux(stream)
          if packet.pts is not None
        ]
      except av.FFmpegError as error:
        raise errors.UserError(
          f'{self._path} is damaged ({_reason(error)}). Copy it again.'
        ) from error
    if not times:
      raise errors.UserError(f'{self._path} has no frames.')
    return float(max(times) - min(times))

  def _of_folder(self) -> Iterator[segments.Frame]:
    names = [
      entry.name
      for entry in self._path.iterdir()
      if entry.suffix.casefold() in images.SUFFIXES
      and not entry.name.startswith('.')
    ]
    try:
      numbered = frame_names.number_frames(names)
    except ValueError as error:
      raise errors.UserError(f'{self._path} {error}.') from error
    if not numbered:
      raise errors.UserError(
        f'{self._path} contains no frames: expected'
        f' {", ".join(images.SUFFIXES)} files whose names differ only in a'
        ' number.'
      )
    strays = sorted({*names} - {*numbered.values()})
    self.warnings += frame_names.note_strays(strays)
    assert self._fps is not None, 'a folder has a rate'
    for number, name in enumerate(numbered.values()):
      path = self._path / name
      yield segments.Frame(number / self._fps, lambda path=path: _load(path))

  def _of_file(self) -> Iterator[segments.Frame]:
    av = _library()
    with self._opened(av) as (container, stream):
      stream.thread_type = 'AUTO'
      stream.codec_context.options = {'export_side_data': 'venc_params'}
      yield from self._decoded(av, container, stream)

  @contextlib.contextmanager
  def _opened(self, av: Any) -> Iterator[tuple[Any, Any]]:
    """The file and its first video stream."""
    # Silences FFmpeg's messages about errors that are reported here.
    av.logging.set_level(av.logging.PANIC)
    try:
      container = av.open(str(self._path))
    except (av.FFmpegError, OSError, ValueError) as error:
      raise errors.UserError(
        f'{self._path} is not a readable video ({_reason(error)}).'
      ) from error
    with container:
      if not container.streams.video:
        raise errors.UserError(
          f'{self._path} has no video stream, only sound or text.'
        )
      yield container, container.streams.video[0]

  def _decoded(self, av, container, stream) -> Iterator[segments.Frame]:
    first, count = None, 0
    try:
      for packet, frame in _frames(container, stream):
        if frame.pts is None:
          continue
        if not count:
          self._judge(packet, frame, stream.codec_context)
        seconds = float(frame.pts * frame.time_base)
        first = seconds if first is None else first
        count += 1
        yield segments.Frame(
          seconds - first,
          lambda frame=frame: _upright(frame),
          (lambda frame=frame: _grey(frame)) if _has_grey(frame) else None,
        )
    except av.FFmpegError as error:
      raise errors.UserError(
        f'{self._path} is damaged after {count} frame(s) ({_reason(error)}).'
        ' Give an earlier offset, or copy the file again.'
      ) from error
    if not count:
      raise errors.UserError(f'{self._path} has no frames.')
    if count < 0.98 * (stream.frames or 0):
      self.warnings.append(
        f'the file is truncated: it has {count} of {stream.frames} frames'
      )

  def _judge(self, packet: Any, frame: Any, context: Any) -> None:
    """Warns of strong compression, by the first frame."""
    quantiser = _quantiser(frame)
    bits = 8 * packet.size / (frame.width * frame.height)
    if quantiser is None and packet.is_keyframe and bits < _LEAST_BITS:
      how = f'{bits:.2f} bits per pixel in a key frame, expected {_LEAST_BITS}'
    elif quantiser is not None and quantiser > _MOST_QUANTISED:
      how = f'quantiser {quantiser:.1f}, expected at most {_MOST_QUANTISED}'
    else:
      return
    self.warnings.append(
      f'the video is strongly compressed ({context.name}, {how}): small motions'
      ' may be lost'
    )


def _frames(container: Any, stream: Any) -> Iterator[tuple[Any, Any]]:
  """Yields every frame, with the first non-empty packet."""
  first = None
  for packet in container.demux(stream):
    first = first or packet
    for frame in packet.decode():
      yield first, frame


def _quantiser(frame: Any) -> float | None:
  """Mean quantiser of an H.264 frame; None for other codecs."""
  parameters = frame.side_data.get('VIDEO_ENC_PARAMS')
  if parameters is None:
    return None
  content = bytes(parameters)
  count, start, step, codec, base = _PARAMETERS.unpack_from(content)
  if codec != _H264:
    return None
  places = range(start + _OF_BLOCK, start + count * step, step or 1)
  own = [struct.unpack_from('=i', content, at)[0] for at in places]
  return base + float(np.mean(own or [0]))


def _library() -> Any:
  try:
    import av
    import av.logging
  except ImportError as error:
    raise errors.UserError(
      f"Reading video needs PyAV. Install the extra 'video':\n  {INSTALL}\nor"
      ' give a folder of frames.'
    ) from error
  return av


def _reason(error: Exception) -> str:
  return getattr(error, 'strerror', None) or str(error)


def _upright(frame: Any) -> np.ndarray:
  """RGB, rotated by the metadata of the file."""
  image = frame.to_ndarray(format='rgb24')
  turns = round(frame.rotation / 90) % 4
  return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _has_grey(frame: Any) -> bool:
  """Whether the first plane of a frame is its grey levels."""
  return frame.format.name in _LUMA_FORMATS


def _grey(frame: Any) -> np.ndarray:
  """Grey levels, rotated by the metadata; only their range is converted."""
  plane = frame.planes[0]
  rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
  image = rows[: frame.height, : frame.width]
  if not (frame.color_range == _FULL_RANGE or 'yuvj' in frame.format.name):
    image = cv2.LUT(np.ascontiguousarray(image), _FROM_VIDEO_RANGE)
  return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))


def _load(path: pathlib.Path) -> np.ndarray:
  try:
    return images.load(str(path))
  except OSError as error:
    raise errors.UserError(
      f'{path} cannot be read ({error.strerror}).'
    ) from error
  except ValueError as error:
    raise errors.UserError(f'{path} {error}.') from error
