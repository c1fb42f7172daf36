"""Times the steps of `dianet predict`, from the file to the report.

python -m benchmarks.predict --bundle=DIR

Writes a video of a photograph in the public domain (scikit-image's) with a bump
that moves, 640 x 480 pixels at 200 frames a second, predicts it several times
and prints the steps. The first prediction counts what is compiled, the others
are the fastest of a few. `network` is that of the bundle, once in its inference
form and once as training computes it on this device.
"""

import argparse
from collections.abc import Callable, Iterator
import contextlib
import fractions
import pathlib
import sys
import tempfile
import time

import cv2
import jax
from jaxtyping import UInt8
import numpy as np
import rich.box
import rich.console
import rich.table

from dianet_jax.clips import faces, segments, spotting, video
from dianet_jax.core import entry, errors
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.inference import folder, outputs
from dianet_jax.motion import scaling

_HEIGHT, _WIDTH, _RATE = 480, 640, 200
# Of the photograph: a corner of the mouth, and how far it goes.
_PLACE, _PIXELS, _SPREAD = (335, 230), 2.0, 14.0


def frames(count: int) -> Iterator[UInt8[np.ndarray, '480 640 3']]:
  """A portrait whose mouth moves up to the middle of the clip, and back."""
  try:
    from skimage import data
  except ImportError as error:
    raise errors.UserError(
      "The photograph is scikit-image's: pip install scikit-image"
    ) from error
  photograph = data.astronaut()[:_HEIGHT]
  side = (_WIDTH - photograph.shape[1]) // 2
  photograph = cv2.copyMakeBorder(
    photograph, 0, 0, side, side, cv2.BORDER_REPLICATE
  )
  y, x = np.mgrid[:_HEIGHT, :_WIDTH].astype(np.float32)
  distance = (x - _PLACE[0]) ** 2 + (y - _PLACE[1]) ** 2
  bump = _PIXELS * np.exp(-distance / (2 * _SPREAD**2))
  rng = np.random.default_rng(0)
  for index in range(count):
    share = np.float32(np.sin(np.pi * index / max(count - 1, 1)))
    moved = cv2.remap(photograph, x, y + share * bump, cv2.INTER_CUBIC)
    noise = rng.normal(0, 1.5, photograph.shape)
    yield np.clip(moved + noise, 0, 255).round().astype(np.uint8)


def write(path: pathlib.Path, count: int) -> None:
  """The frames as H.264 at its usual quality."""
  import av

  with av.open(str(path), 'w') as container:
    stream = container.add_stream('libx264', rate=_RATE, options={'crf': '18'})
    stream.width, stream.height = _WIDTH, _HEIGHT
    stream.pix_fmt = 'yuv420p'
    for number, image in enumerate(frames(count)):
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      frame.pts, frame.time_base = number, fractions.Fraction(1, _RATE)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


@contextlib.contextmanager
def _clock(times: dict[str, float], step: str) -> Iterator[None]:
  start = time.perf_counter()
  yield
  times[step] = time.perf_counter() - start


def steps(
  bundle: bundle_lib.Bundle, path: pathlib.Path, out: pathlib.Path
) -> dict[str, float]:
  """Step -> its seconds, once; the steps apart, and the whole."""
  times: dict[str, float] = {}
  size = bundle.data.frame_size
  with _clock(times, 'decode'):
    decoded = [frame.image() for frame in video.Video(path).frames()]
  with _clock(times, 'find the face, twice'):
    face = faces.find(decoded[0], size)
    faces.find(decoded[-1], size)
  with _clock(times, 'align'):
    aligned = [faces.apply(image, face.transform, size) for image in decoded]
  with _clock(times, 'spot the apex'):
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in aligned]
    spotting.spot_apex(np.stack(grey))
  clip = segments.take(
    'clip', video.Video(path).frames(), segments.WHOLE, bundle.data
  )
  with _clock(times, 'motion images'):
    inputs = bundle.inputs_of(clip)
  batch = {name: values[None] for name, values in inputs.items()}
  with _clock(times, 'network'):
    bundle.probabilities(batch)
  prediction = bundle.predict_clip(clip)
  with _clock(times, 'report'):
    outputs.write(out, bundle, [outputs.of_prediction(bundle, prediction)])
  with _clock(times, 'all, file to report'):
    prediction = bundle.predict_video(path)
    outputs.write(out, bundle, [outputs.of_prediction(bundle, prediction)])
  return times


def training_form(bundle: bundle_lib.Bundle) -> Callable[[], None]:
  """What computes one clip as training does, with the forms of this device."""
  scale, channels = scaling.SCALINGS[bundle.data.scaling], bundle.channels
  inputs = {
    name: np.zeros((1, *spec.shape), spec.dtype)
    for name, spec in bundle.specs.items()
  }

  @jax.jit
  def probabilities(members, inputs):
    ready = {n: scale(v) if channels[n] else v for n, v in inputs.items()}
    return [
      jax.nn.softmax(bundle.network.apply(one, ready).logits) for one in members
    ]

  return lambda: jax.block_until_ready(probabilities(bundle.members, inputs))


def inference_form(bundle: bundle_lib.Bundle) -> Callable[[], None]:
  """The same in the form of the bundle."""
  inputs = {
    name: np.zeros((1, *spec.shape), spec.dtype)
    for name, spec in bundle.specs.items()
  }
  return lambda: jax.block_until_ready(bundle.log_probabilities_of(inputs))


def fastest(function: Callable[[], None], repeats: int) -> float:
  """Seconds of the fastest call, the first not counted."""
  function()
  found = []
  for _ in range(repeats):
    start = time.perf_counter()
    function()
    found.append(time.perf_counter() - start)
  return min(found)


def show(options: argparse.Namespace) -> None:
  """Measures and prints the table.

  Raises:
    UserError: the bundle cannot be read.
  """
  start = time.perf_counter()
  bundle = folder.load(options.bundle)
  loaded = time.perf_counter() - start
  with tempfile.TemporaryDirectory() as place:
    path, out = pathlib.Path(place, 'clip.mp4'), pathlib.Path(place, 'out')
    write(path, options.frames)
    start = time.perf_counter()
    outputs.write(
      out, bundle, [outputs.of_prediction(bundle, bundle.predict_video(path))]
    )
    first = time.perf_counter() - start
    all_times = [steps(bundle, path, out) for _ in range(options.repeats)]
  table = rich.table.Table(
    'step', 'ms', 'ms a frame', 'frames a second', box=rich.box.SIMPLE_HEAD
  )
  for step in all_times[0]:
    seconds = min(times[step] for times in all_times)
    table.add_row(
      step,
      f'{1000 * seconds:.1f}',
      f'{1000 * seconds / options.frames:.3f}',
      f'{options.frames / seconds:,.0f}',
    )
  console = rich.console.Console()
  console.print(table)
  console.print(
    f'{options.frames} frames of {_WIDTH} x {_HEIGHT}. Bundle read and checked'
    f' in {loaded:.1f} s; the first prediction {first:.1f} s. The network for'
    f' one clip: {1000 * fastest(inference_form(bundle), 10):.2f} ms in the'
    f' inference form, {1000 * fastest(training_form(bundle), 10):.2f} ms as in'
    ' training.'
  )


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--bundle', required=True, help='folder of a bundle')
  parser.add_argument('--frames', type=int, default=300, help='of the video')
  parser.add_argument('--repeats', type=int, default=5)
  options = parser.parse_args()
  if status := entry.run(lambda: show(options)):
    sys.exit(status)


if __name__ == '__main__':
  main()
