"""Films the spotting sets with real faces: photographs that are warped.

    pip install 'scikit-image'
    pip download --no-deps --no-binary=:all: face_recognition==1.3.0
    pip download --no-deps --no-binary=:all: insightface==2.1
    python -m benchmarks.spotting_photographs --set=test --packages=. --root=DIR

The development set acts by scikit-image's astronaut and her mirror image; the
test set by five people of the photographs in the other two packages, of which
the archives are read and nothing is run. Scripts, cameras and seeds are those
of `tfds_builders.simulation.spotting_sets`. Keep the films to yourself: they
show people who were asked by nobody.
"""

import argparse
from collections.abc import Iterator, Mapping
import dataclasses
import pathlib
import tarfile

import cv2
from jaxtyping import UInt8
import numpy as np

from dianet_jax.clips import faces as detector
from dianet_jax.core import errors, progress
from tfds_builders.simulation import faces, spotting_sets

_ARCHIVES = {
  'face_recognition-1.3.0': ('tests/test_images/biden.jpg',
                             'tests/test_images/obama.jpg'),
  'insightface-2.1': ('insightface/data/images/t1.jpg',),
}  # fmt: skip
_HEIGHT, _WIDTH = 256, 320
# The next one shows his profile, in which no detector finds a face.
_PEOPLE = 5
# Shares of the aligned face's side, for the half with x >= 0, from its middle:
# where `benchmarks.planted_motions` moves the skin of real faces, too.
_EYE_DISTANCE, _EYE_HEIGHT = 0.36, 0.35
_LANDMARKS = {
  'brow_inner': (0.08, 0.25), 'brow_middle': (0.18, 0.23),
  'brow_outer': (0.27, 0.25), 'glabella': (0.0, 0.26),
  'upper_lid': (0.18, 0.32), 'lower_lid': (0.18, 0.38),
  'cheek': (0.22, 0.55), 'nose_wing': (0.085, 0.56),
  'upper_lip': (0.0, 0.72), 'lower_lip': (0.0, 0.79),
  'lip_corner': (0.14, 0.75), 'chin': (0.0, 0.91),
}  # fmt: skip
# One face unit as a share of the aligned face's side: eyes lie at x = 0.42.
_UNIT = _EYE_DISTANCE / 2 / 0.42
_ORIGIN = _EYE_HEIGHT + 0.14 * _UNIT
_SIDE = 224


def of_photograph(image: UInt8[np.ndarray, 'height width 3']) -> faces.Face:
  """The largest face of an RGB photograph, upright, as a drawn face would be.

  Raises:
    NoFaceError: there is none.
  """
  to_aligned = np.vstack([detector.find_transform(image, _SIDE), [0, 0, 1]])
  unit = min(0.415 * _WIDTH, 0.338 * _HEIGHT)
  margin = int(np.ceil(faces.MARGIN * _HEIGHT))
  centre = (0.5 * (_WIDTH - 1), 0.49 * _HEIGHT)
  # Aligned pixels -> pixels of the picture, larger and with a margin.
  scale = faces.OVERSAMPLING * unit / (_UNIT * _SIDE)
  at = [faces.OVERSAMPLING * (value + margin) for value in centre]
  to_picture = np.array([
    [scale, 0, at[0] - scale * 0.5 * _SIDE],
    [0, scale, at[1] - scale * _ORIGIN * _SIDE],
    [0, 0, 1],
  ])  # fmt: skip
  size = [faces.OVERSAMPLING * (n + 2 * margin) for n in (_WIDTH, _HEIGHT)]
  transform = (to_picture @ to_aligned)[:2]
  shrink = np.hypot(transform[0, 0], transform[1, 0])
  if shrink < 1:
    image = cv2.GaussianBlur(image, (0, 0), 0.4 / shrink)
  picture = cv2.warpAffine(
    image[..., ::-1], transform, size, flags=cv2.INTER_CUBIC,
    borderMode=cv2.BORDER_REFLECT_101,
  ).astype(np.float32)  # fmt: skip
  landmarks = {
    name: (x / _UNIT, (y - _ORIGIN) / _UNIT)
    for name, (x, y) in _LANDMARKS.items()
  }
  return faces.Face(picture, _HEIGHT, _WIDTH, margin, centre, unit, landmarks)


def _single_faces(image: np.ndarray) -> Iterator[np.ndarray]:
  """The photograph, the largest face blackened after each turn."""
  image = image.copy()
  while True:
    try:
      transform = detector.find_transform(image, _SIDE)
    except detector.NoFaceError:
      return
    yield image.copy()
    corners = np.array([[0, 0], [_SIDE, 0], [_SIDE, _SIDE], [0, _SIDE]])
    inverse = cv2.invertAffineTransform(transform)
    corners = corners @ inverse[:, :2].T + inverse[:, 2]
    cv2.fillPoly(image, [np.round(corners).astype(np.int32)], (0, 0, 0))


def photographs(packages: pathlib.Path) -> list[np.ndarray]:
  """RGB photographs of the test set, the next person the largest face in each.

  Args:
    packages: folder with the archives.

  Raises:
    errors.UserError: an archive is missing.
  """
  found = []
  for name, members in _ARCHIVES.items():
    path = packages / f'{name}.tar.gz'
    if not path.is_file():
      raise errors.UserError(
        f'{path} is missing. Fetch it: pip download --no-deps'
        f' --no-binary=:all: {name.replace("-", "==")}'
      )
    with tarfile.open(path) as archive:
      for member in members:
        content = archive.extractfile(f'{name}/{member}')
        assert content is not None, f'{member} is a file'
        data = np.frombuffer(content.read(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
        found += _single_faces(np.ascontiguousarray(image))
  return found[:_PEOPLE]


def astronaut() -> list[np.ndarray]:
  """RGB photographs of the development set."""
  from skimage import data

  portrait = np.ascontiguousarray(data.astronaut()[:320, 60:380])
  return [portrait, np.ascontiguousarray(portrait[:, ::-1])]


def write(
  name: str, root: pathlib.Path, packages: pathlib.Path | None
) -> pathlib.Path:
  """Films a set; see `spotting_sets.write`.

  Args:
    name: key of `spotting_sets.SETS`.
    root: folder to make.
    packages: folder with the archives, for the test set.
  """
  chosen = spotting_sets.SETS[name]
  people = photographs(packages) if packages else astronaut()
  # Subjects of their own, so that no script of a drawn face is acted again.
  first = 1000 + chosen.subjects[0]
  subjects = tuple(first + turn for turn in range(len(people)))
  found: Mapping[int, np.ndarray] = dict(zip(subjects, people))
  return spotting_sets.write(
    dataclasses.replace(chosen, subjects=subjects),
    root,
    lambda seed, subject: of_photograph(found[subject]),
    progress.track,
  )


def main() -> None:
  """Films a set."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--set', required=True, choices=spotting_sets.SETS)
  parser.add_argument('--root', required=True, type=pathlib.Path)
  parser.add_argument('--packages', type=pathlib.Path, default='.')
  options = parser.parse_args()
  packages = options.packages if options.set == 'test' else None
  write(options.set, options.root, packages)


if __name__ == '__main__':
  main()
