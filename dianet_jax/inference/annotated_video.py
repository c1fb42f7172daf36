"""Encodes an annotated copy of a spotted video, in a format browsers play."""

import fractions
import pathlib
from typing import Any

import cv2
from jaxtyping import UInt8
import numpy as np

from dianet_jax.inference import spotting

# Encoder, file suffix, options; the first available one is used.
_ENCODERS = (
  ('libx264', '.mp4', {'crf': '23', 'preset': 'veryfast'}),
  ('libvpx-vp9', '.webm', {'crf': '32', 'b': '0', 'cpu-used': '6'}),
  ('mpeg4', '.mp4', {'qscale': '4'}),
)
_NOT_PLAYED = 'mpeg4'
_MOST_PIXELS = 640
_GREEN, _ORANGE, _GREY = (60, 180, 75), (240, 150, 10), (190, 190, 190)
_STRIP = 64


class Writer:
  """Encodes one frame of each step of a video, while it is read.

  A context manager; the file exists only if it exits without an error.

  Attributes:
    path: the file.
    warning: a limitation of the file; '' for none.
  """

  def __init__(self, path: pathlib.Path, spotted: spotting.Spotted):
    """Opens the file.

    Args:
      path: of the file without suffix; the encoder determines it.
      spotted: the result to draw.

    Raises:
      ImportError: PyAV is not installed.
      ValueError: FFmpeg has no suitable encoder.
      OSError: the file cannot be written.
    """
    import av

    there = [row for row in _ENCODERS if row[0] in av.codecs_available]
    if not there:
      names = ', '.join(name for name, *_ in _ENCODERS)
      raise ValueError(f'FFmpeg has none of the encoders {names}')
    name, ending, options = there[0]
    self.path = path.with_name(path.name + ending)
    self.warning = (
      'the annotated video is MPEG-4, which video players play and browsers'
      ' do not'
      if name == _NOT_PLAYED
      else ''
    )
    self._aside = path.with_name(f'{path.name}.part{ending}')
    self._av, self._spotted = av, spotted
    self._steps = {int(n): step for step, n in enumerate(spotted.numbers)}
    self._file: Any = av.open(str(self._aside), 'w')
    rate = 1 / float(np.median(np.diff(spotted.seconds)))
    self._stream = self._file.add_stream(
      name, rate=max(1, round(rate)), options=options
    )
    self._stream.pix_fmt = 'yuv420p'
    self._last = -1

  def __enter__(self) -> 'Writer':
    return self

  def __exit__(self, kind, error, trace) -> None:
    if kind is None:
      self._file.mux(self._stream.encode())
    self._file.close()
    if kind is None:
      self._aside.replace(self.path)
    else:
      self._aside.unlink(missing_ok=True)

  def wants(self, number: int) -> bool:
    """Whether a frame belongs to the annotated video.

    Args:
      number: of the frame in the source, from 0.
    """
    return number in self._steps

  def add(self, number: int, image: UInt8[np.ndarray, 'h w 3']) -> None:
    """Draws and encodes a frame.

    Args:
      number: of the frame in the source; `wants` must be true for it.
      image: RGB, 0..255.
    """
    drawn = draw(image, self._spotted, self._steps[number])
    milliseconds = round(1000 * self._spotted.seconds[self._steps[number]])
    if milliseconds <= self._last:
      return
    if self._last < 0:
      self._stream.height, self._stream.width = drawn.shape[:2]
    self._last = milliseconds
    frame = self._av.VideoFrame.from_ndarray(drawn, format='rgb24')
    frame.pts, frame.time_base = milliseconds, fractions.Fraction(1, 1000)
    self._file.mux(self._stream.encode(frame))


def draw(
  image: UInt8[np.ndarray, 'h w 3'], spotted: spotting.Spotted, step: int
) -> UInt8[np.ndarray, 'height width 3']:
  """Draws a border around a frame, and time and scores below it.

  Args:
    image: RGB, 0..255.
    spotted: the result of the video.
    step: index of the frame's step.

  Returns:
    RGB, 0..255, with even sides: at most 640 pixels, plus 64 rows for scores.

  >>> spotted = spotting.Spotted(
  ...   'v1', 50.0, 'movement', 4.0, 'noise', np.array([0, 1]),
  ...   np.array([0, 0.02]), np.array([True, True]),
  ...   {'mouth': np.array([0.0, 5.0])}, (), (), (),
  ... )
  >>> draw(np.zeros((480, 640, 3), np.uint8), spotted, step=1).shape
  (544, 640, 3)
  """
  height, width = image.shape[:2]
  scale = min(1.0, _MOST_PIXELS / max(height, width))
  size = [2 * max(8, round(scale * n / 2)) for n in (width, height)]
  image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
  number = int(spotted.numbers[step])
  what = spotted.at(number)
  color = {'': None, 'micro': _GREEN, 'macro': _GREEN}.get(what, _ORANGE)
  if color is not None:
    end = (size[0] - 1, size[1] - 1)
    cv2.rectangle(image, (0, 0), end, color, 4)
  strip = np.zeros((_STRIP, size[0], 3), np.uint8)
  text = f'{spotted.seconds[step]:.2f} s  frame {number}  {what}'
  _put_text(strip, text, (6, 14), color or _GREY)
  for row, (region, scores) in enumerate(spotted.scores.items()):
    y = 29 + 15 * row
    _put_text(strip, region, (6, y), _GREY)
    share = min(1.0, scores[step] / (2 * spotted.threshold))
    over = scores[step] >= spotted.threshold
    left, room = 60, size[0] - 66
    end = (left + max(1, round(share * room)), y)
    cv2.rectangle(strip, (left, y - 9), end, _GREEN if over else _GREY, -1)
    middle = left + room // 2
    cv2.line(strip, (middle, y - 11), (middle, y + 2), _ORANGE, 1)
  return np.concatenate([image, strip])


def _put_text(image, text, place, color):
  cv2.putText(
    image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, 1, cv2.LINE_AA
  )
