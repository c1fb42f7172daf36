"""The bundle that comes with the package."""

import cv2
import numpy as np
import pytest

from benchmarks import planted_motions
import dianet_jax
from dianet_jax.clips import faces
from dianet_jax.inference import folder


@pytest.fixture(scope='module')
def bundle():
  return dianet_jax.load_bundle()


def test_it_is_small_and_says_where_it_comes_from(bundle):
  sizes = [file.stat().st_size for file in folder.SHIPPED.iterdir()]
  assert sum(sizes) < 2_000_000
  assert bundle.classes == ('negative', 'positive', 'surprise')
  card = (folder.SHIPPED / 'README.md').read_text()
  for words in (
    'tony19980810/CausalNet (ICCV 2025, MIT licence)',
    'research only',
    '278\nclips of 52 subjects',
    'Trials on a real face outside the data sets',
    '| none |',
  ):
    assert words in card
  # Nothing of a data set: the example is noise.
  with np.load(folder.SHIPPED / 'example.npz') as example:
    values = example['input/dynamic_images']
  assert abs(values.mean()) < 0.1 and abs(values.std() - 1) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
  'motion', ['brows up (AU1+2)', 'brows down, together (AU4)']
)
def test_it_names_the_brows_of_a_real_face(bundle, motion):
  pytest.importorskip('dlib', reason=f'finds faces: {faces.INSTALL}')
  pytest.importorskip('skimage', reason='has a photograph')
  face = next(planted_motions.photographs())
  transform = faces.find_transform(face, 224)
  expected, bumps = planted_motions.MOTIONS[motion]
  moved = 2 * planted_motions.displacement(bumps, transform, face.shape[:2])
  y, x = np.mgrid[: face.shape[0], : face.shape[1]].astype(np.float32)
  apex = cv2.remap(
    face,
    (x - moved[..., 0]).astype(np.float32),
    (y - moved[..., 1]).astype(np.float32),
    cv2.INTER_CUBIC,
    borderMode=cv2.BORDER_REPLICATE,
  )
  found = bundle.predict([face, apex, face], fps=200, apex=1)
  assert found.label == expected
