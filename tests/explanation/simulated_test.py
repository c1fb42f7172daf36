"""Explanations of a network trained on faces whose motion is known.

Sanity checks after Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS
2018: what is explained must depend on what was learned, and what is said to
matter must matter.
"""

import cv2
import jax
import numpy as np
import optax
import pytest

from dianet_jax.explanation import occlusion, regions
from dianet_jax.models.dianet import DIANet, DIANetSettings
from tests.models.zoo import small
from tests.support import explained_networks
from tfds_builders.simulation import faces as faces_lib
from tfds_builders.simulation import motion as motion_lib

# Draws faces, and trains a network.
pytestmark = pytest.mark.slow
SIZE, READ = 28, 'dynamic_images'
# Action units of the three classes, and where they move the face.
MOTIONS = ({12: 1.0}, {1: 1.0, 2: 1.0}, {17: 1.0})
PLACES = ({'mouth', 'cheeks', 'nose'}, {'brows', 'eyes'}, {'chin', 'mouth'})
SETTINGS = DIANetSettings(
  backbone='compact', widths=(12, 16), fusion='concat', pool='flatten',
  dropout=0.0,
)  # fmt: skip


def clips(number, seed):
  """Flow images [clip, view, size, size, 3], classes, and where it moves."""
  rng = np.random.default_rng(seed)
  drawn = [faces_lib.draw(rng, 0, 84, 84) for _ in range(3)]
  labels = np.arange(number) % 3
  images, moving = [], []
  for label in labels:
    field = motion_lib.displacement(
      drawn[rng.integers(3)],
      MOTIONS[label],
      rng.uniform(-0.3, 0.3),
    )
    field = cv2.resize(field, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    size = np.linalg.norm(field, axis=-1)
    moving.append(size > 0.2 * size.max())
    image = np.concatenate([field, size[..., None]], axis=-1) / size.max()
    image = image[None] * np.array([1.0, -1.0])[:, None, None, None]
    images.append(image + rng.normal(0, 0.1, image.shape))
  return np.float32(images), labels, np.array(moving)


@pytest.fixture(scope='module')
def trained():
  """The explainer, variables before and after training, unseen clips."""
  model = DIANet(3, SETTINGS)
  images, labels, _ = clips(48, seed=0)
  variables = small.variables_of(
    model, {READ: jax.ShapeDtypeStruct(images.shape, 'float32')}
  )
  optimizer = optax.adam(3e-3)

  def loss_of(params, variables):
    outputs, state = model.apply(
      variables | {'params': params},
      {READ: images},
      None,
      True,
      mutable=['batch_stats'],
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(
      outputs.logits[:, 0], labels
    )
    return losses.mean(), state

  @small.jit
  def step(variables, state):
    gradient, statistics = jax.grad(loss_of, has_aux=True)(
      variables['params'], variables
    )
    updates, state = optimizer.update(gradient, state)
    params = optax.apply_updates(variables['params'], updates)
    return {'params': params, **statistics}, state

  now, state = variables, optimizer.init(variables['params'])
  for _ in range(60):
    now, state = step(now, state)
  made = explained_networks.of_model(model, READ, images.shape[1:])
  images, labels, moving = clips(9, seed=1)
  probabilities = np.asarray(made.predict([now], {READ: images}))
  assert (probabilities.argmax(axis=-1) == labels).all()
  found = [
    made([now], {READ: image}, int(label))
    for image, label in zip(images, labels)
  ]
  return made, variables, now, (images, labels, moving), found


def heat(explanation):
  """The activation maps of both streams together, as large as the image."""
  whole = sum(explanation.activation.values())
  return cv2.resize(whole.astype(np.float32), (SIZE, SIZE))


def test_the_region_that_moves_decides(trained):
  *_, (_, labels, _), found = trained
  moving = []
  for label, explanation in zip(labels, found):
    shares = explanation.shares
    assert sum(shares.values()) == pytest.approx(1)
    moving.append(sum(shares[name] for name in PLACES[label]))
  assert np.mean(moving) > 0.6 and min(moving) > 0.4


def test_maps_lie_where_it_moves(trained):
  *_, (_, _, moving), found = trained
  inside = [
    heat(one)[where].sum() / heat(one).sum()
    for one, where in zip(found, moving)
  ]
  by_chance = moving.mean(axis=(1, 2))
  assert (np.array(inside) > 1.5 * by_chance).all()


def test_an_untrained_network_has_other_explanations(trained):
  made, before, _, (images, labels, _), found = trained
  learned, drawn = [], []
  for image, label, explanation in zip(images, labels, found):
    other = made([before], {READ: image}, int(label))
    alike = np.corrcoef(heat(explanation).ravel(), heat(other).ravel())[0, 1]
    assert alike < 0.8
    learned.append(max(explanation.evidence.values()))
    drawn.append(max(other.evidence.values()))
  # Of one class there is little evidence: it is named where nothing moves.
  assert np.mean(learned) > 5 * np.mean(drawn)


def test_deleting_the_hottest_places_costs_more_than_chance(trained):
  made, _, now, (images, labels, _), found = trained
  rng = np.random.default_rng(2)
  least = SIZE * SIZE // 10
  for image, label, explanation in zip(images, labels, found):
    still = occlusion.still({READ: image}, made.feed, made.channels)[READ]
    hottest = np.argsort(-heat(explanation).ravel(), kind='stable')
    orders = [hottest, *(rng.permutation(SIZE * SIZE) for _ in range(8))]
    left = []
    for order in orders:
      gone = np.zeros(SIZE * SIZE, bool)
      gone[order[:least]] = True
      hidden = np.where(gone.reshape(1, SIZE, SIZE, 1), still, image)
      [probabilities] = np.asarray(made.predict([now], {READ: hidden[None]}))
      left.append(probabilities[label])
    assert left[0] < min(left[1:])


def test_a_still_face_has_no_explanation(trained):
  made, _, now, _, _ = trained
  still = np.zeros((2, SIZE, SIZE, 3), np.float32)
  found = made([now], {READ: still}, 0)
  assert not heat(found).any()
  assert found.shares == dict.fromkeys(regions.NAMES, 0.0)
