"""Predictions of a bundle for known motions, on a face of no data set.

python -m benchmarks.planted_motions --bundle=DIR

The face is scikit-image's photograph of an astronaut, in the public domain, at
two sizes and mirrored. Gaussian bumps move the skin where action units do, up
to the apex and back within 0.4 s at 200 frames a second, over sensor noise;
the frames go through H.264 of two qualities and through `predict` as any video.
It prints how often each motion was predicted as each class, by its size in
pixels of the aligned face of 224 pixels. `none` is noise alone: the network has
no class for it, and its row shows what it predicts then.
"""

import argparse
import collections
from collections.abc import Iterator, Mapping
import dataclasses
import fractions
import itertools
import pathlib
import sys
import tempfile

import cv2
from jaxtyping import Float, UInt8
import numpy as np
import rich.box
import rich.console
import rich.table

from dianet_jax.clips import faces
from dianet_jax.core import entry, progress
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.inference import folder

_SIZE = 224
_FRAMES, _RATE, _NOISE = 81, 200, 1.5
_PIXELS = (0.5, 1.0, 2.0, 3.0)
_QUALITIES = (15, 28)
_SCALES = (1.0, 1.5)
# (Motion, pixels) -> how often each class was the most probable.
Counts = Mapping[tuple[str, float], Mapping[str, int]]


@dataclasses.dataclass(frozen=True)
class Bump:
  """A motion of the skin: its place, direction (right, down) and width.

  All are fractions of the aligned face's side, motion up to a common factor.
  """

  x: float
  y: float
  right: float
  down: float
  spread: float = 0.06


def _pair(x: float, y: float, outward: float, down: float) -> tuple[Bump, Bump]:
  """The same on both sides of the face."""
  return Bump(0.5 - x, y, -outward, down), Bump(0.5 + x, y, outward, down)


# A motion, and the class that a coder would give it.
MOTIONS: Mapping[str, tuple[str, tuple[Bump, ...]]] = {
  'lip corners up (AU12)': ('positive', _pair(0.13, 0.74, 0.6, -0.8)),
  'cheeks and lip corners up (AU6+12)': (
    'positive',
    _pair(0.13, 0.74, 0.6, -0.8) + _pair(0.2, 0.52, 0.1, -0.5),
  ),
  'brows up (AU1+2)': ('surprise', _pair(0.17, 0.24, 0.0, -1.0)),
  'brows up, jaw down (AU1+2+26)': (
    'surprise',
    (*_pair(0.17, 0.24, 0.0, -1.0), Bump(0.5, 0.85, 0, 0.8, 0.09)),
  ),
  'brows down, together (AU4)': ('negative', _pair(0.1, 0.25, -0.6, 0.8)),
  'lip corners down (AU15+17)': (
    'negative',
    (*_pair(0.13, 0.76, 0.1, 0.9), Bump(0.5, 0.84, 0, -0.5, 0.06)),
  ),
  'none': ('', ()),
}


def photographs() -> Iterator[UInt8[np.ndarray, 'height width 3']]:
  """The portrait at all sizes, mirrored and not."""
  from skimage import data

  portrait = data.astronaut()[:320, 60:380]
  for scale, mirrored in itertools.product(_SCALES, (False, True)):
    image = cv2.resize(
      portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC
    )
    yield np.ascontiguousarray(image[:, ::-1] if mirrored else image)


def displacement(
  bumps: tuple[Bump, ...],
  transform: Float[np.ndarray, '2 3'],
  shape: tuple[int, int],
) -> Float[np.ndarray, 'height width 2']:
  """Of each pixel of a frame, to the right and down, one pixel at most.

  Pixels of the aligned face count: those of the frame may be more.
  """
  y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
  aligned = np.stack([x, y, np.ones_like(x)], axis=-1) @ transform.T / _SIZE
  found = np.zeros((*shape, 2))
  for bump in bumps:
    square = ((aligned - [bump.x, bump.y]) ** 2).sum(axis=-1)
    weight = np.exp(-square / (2 * bump.spread**2))
    found += weight[..., None] * [bump.right, bump.down]
  found /= max(np.hypot(*np.moveaxis(found, -1, 0)).max(), 1e-9)
  return found @ np.linalg.inv(transform[:, :2]).T


def write(
  path: pathlib.Path,
  image: UInt8[np.ndarray, 'height width 3'],
  motion: Float[np.ndarray, 'height width 2'],
  quality: int,
) -> None:
  """A video of the face that moves and comes back."""
  import av

  rng = np.random.default_rng(0)
  y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
  with av.open(str(path), 'w') as container:
    options = {'crf': str(quality)}
    stream = container.add_stream('libx264', rate=_RATE, options=options)
    stream.height, stream.width = image.shape[:2]
    stream.pix_fmt = 'yuv420p'
    for number in range(_FRAMES):
      moved = motion * np.sin(np.pi * number / (_FRAMES - 1)) ** 2
      at_x, at_y = (
        (place - moved[..., axis]).astype(np.float32)
        for axis, place in enumerate((x, y))
      )
      pixels = cv2.remap(
        image, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
      ) + rng.normal(0, _NOISE, image.shape)
      pixels = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
      frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
      frame.pts, frame.time_base = number, fractions.Fraction(1, _RATE)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


def measure(bundle: bundle_lib.Bundle) -> Counts:
  """Predicts every motion in every form of the face."""
  images = list(photographs())
  transforms = [faces.find_transform(image, _SIZE) for image in images]
  trials = [
    trial
    for trial in itertools.product(
      MOTIONS, _PIXELS, range(len(images)), _QUALITIES
    )
    if trial[0] != 'none' or trial[1] == _PIXELS[0]
  ]
  counts = collections.defaultdict(collections.Counter)
  with tempfile.TemporaryDirectory() as place:
    path = pathlib.Path(place, 'clip.mp4')
    for name, pixels, row, quality in progress.track(
      trials, 'Videos', len(trials)
    ):
      image = images[row]
      bumps = MOTIONS[name][1]
      motion = displacement(bumps, transforms[row], image.shape[:2])
      write(path, image, pixels * motion, quality)
      counts[name, pixels][bundle.predict_video(path).label] += 1
  return counts


def rows(
  bundle: bundle_lib.Bundle, counts: Counts
) -> tuple[list[list[str]], str]:
  """The table of `measure`, and how often the expected class was predicted."""
  found, right, of = [], 0, 0
  for (name, pixels), counted in counts.items():
    expected = MOTIONS[name][0]
    if expected:
      right, of = right + counted[expected], of + sum(counted.values())
    size = f'{pixels:.1f}' if expected else ''
    cells = (str(counted[label]) for label in bundle.classes)
    found.append([name, size, *cells, expected])
  return found, f'{right} of {of}'


def with_trials(bundle: bundle_lib.Bundle, counts: Counts) -> bundle_lib.Bundle:
  """The bundle with the results in its card."""
  table, right = rows(bundle, counts)
  what = (
    f'Motions planted on a photograph (scikit-image, astronaut), {right} named'
    ' as a coder would: how often each class was the most probable in'
    f' {2 * len(_SCALES)} forms of the face and videos of H.264 quality'
    f' {" and ".join(map(str, _QUALITIES))}. Pixels are those of the aligned'
    f' face of {_SIZE}. `none` is noise alone, which no class describes.'
  )
  trials = {'what': what, 'rows': table}
  return dataclasses.replace(bundle, facts={**bundle.facts, 'trials': trials})


def show(options: argparse.Namespace) -> None:
  """Measures and prints the table.

  Raises:
    UserError: the bundle cannot be read.
  """
  bundle = folder.load(options.bundle)
  counts = measure(bundle)
  if options.save:
    folder.save(with_trials(bundle, counts), options.save)
  table = rich.table.Table(
    'motion', 'pixels', *bundle.classes, 'expected', box=rich.box.SIMPLE_HEAD
  )
  found, right = rows(bundle, counts)
  for row in found:
    table.add_row(*row)
  console = rich.console.Console(width=100)
  console.print(table)
  console.print(
    f'{right} as expected, each in {len(_QUALITIES)} qualities and'
    f' {2 * len(_SCALES)} forms of the face.'
  )


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--bundle', required=True, help='folder of a bundle')
  parser.add_argument('--save', help='folder for it with this on its card')
  options = parser.parse_args()
  if status := entry.run(lambda: show(options)):
    sys.exit(status)


if __name__ == '__main__':
  main()
