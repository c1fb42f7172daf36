"""Video files written for tests."""

import fractions
import pathlib

import numpy as np
import pytest

av = pytest.importorskip('av', reason='videos are read by PyAV, extra [video]')


def write(
  path: pathlib.Path,
  frames: np.ndarray,
  seconds: np.ndarray | None = None,
  codec: str = 'ffv1',
  **options: str,
) -> pathlib.Path:
  """A video of RGB frames; without loss of a pixel by default.

  Args:
    path: its ending says the container.
    frames: uint8 [frame, height, width, 3].
    seconds: of each frame; by default 100 a second.
    codec: of FFmpeg.
    **options: of the codec.
  """
  if seconds is None:
    seconds = np.arange(len(frames)) / 100
  with av.open(str(path), 'w') as container:
    stream = container.add_stream(codec, rate=100, options=options)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = 'bgr0' if codec == 'ffv1' else 'yuv420p'
    for image, second in zip(frames, seconds, strict=True):
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      frame.pts = round(1000 * second)
      frame.time_base = fractions.Fraction(1, 1000)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return path


def turn(path: pathlib.Path) -> None:
  """Writes into an MP4 that it is to be turned by 90 degrees, as phones do."""
  content = bytearray(path.read_bytes())
  start = content.index(b'tkhd') - 4
  one = 1 << 16
  matrix = [0, one, 0, -one & 0xFFFFFFFF, 0, 0, 0, 0, 1 << 30]
  place = start + 8 + 4 + 20 + 16
  content[place : place + 36] = b''.join(
    value.to_bytes(4, 'big') for value in matrix
  )
  path.write_bytes(content)
