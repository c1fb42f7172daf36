"""Images of flow: mosaic, range, and positions."""

import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models.zoo import flow_images
from tests.models.zoo import small

pytestmark = pytest.mark.usefixtures('plain_layers')


def test_the_mosaic_is_that_of_the_fixed_landmarks():
  row, column = np.mgrid[:28, :28]
  image = jnp.asarray(np.stack([row, column], axis=-1), jnp.float32)
  mosaic = np.asarray(flow_images.mosaic(image))
  corners = {
    (0, 0): (2, 4), (13, 13): (15, 17), (0, 14): (14, 3), (13, 27): (27, 16),
    (14, 0): (3, 14), (27, 13): (16, 27), (14, 14): (13, 14),
    (27, 27): (26, 27),
  }  # fmt: skip
  for place, source in corners.items():
    assert tuple(mosaic[place]) == source
  # Twice as large, the same regions.
  large = flow_images.mosaic(jnp.repeat(jnp.repeat(image, 2, 0), 2, 1))
  np.testing.assert_array_equal(large[::2, ::2], mosaic)


def test_order_and_range_of_flow_images():
  images = jnp.linspace(-1, 1, 2 * 28 * 28 * 3).reshape(1, 2, 28, 28, 3)
  published = flow_images.Settings()
  found = flow_images.read({'phase_flow': images}, published)
  np.testing.assert_allclose(found, (images[..., ::-1] + 1) * 127.5, rtol=1e-5)
  plain = flow_images.Settings(channel_order='rgb', input_scale=1)
  np.testing.assert_array_equal(
    flow_images.read({'phase_flow': images}, plain), images
  )


def test_position_images():
  flow = np.random.default_rng(0).normal(size=(2, 2, 28, 28, 3))
  found = np.asarray(flow_images.position_images(jnp.asarray(flow)))
  levels = np.unique(found[..., :2].round(5))
  assert len(levels) == 31 and levels[0] == -1 and levels[-1] == 1
  assert (found[..., 2] == -1).all()
  still = flow_images.position_images(jnp.zeros((1, 1, 4, 4, 3)))
  assert (still[..., :2] == 0).all()


def test_centred_position_images_have_the_median_as_zero():
  flow = np.random.default_rng(0).normal(size=(1, 2, 28, 28, 3))
  moved = jnp.asarray(flow - np.median(flow, axis=(2, 3), keepdims=True) + 5)
  plain, centred = (
    np.asarray(flow_images.positions_of(moved, kind))[..., :2]
    for kind in flow_images.POSITIONS
  )
  assert (plain > 0).all() and (np.median(centred, axis=(2, 3)) == 0).all()
  np.testing.assert_allclose(
    centred,
    np.asarray(flow_images.position_images(moved - 5))[..., :2],
    atol=1 / 15,
  )


def test_stored_position_images_take_the_place_of_derived_ones():
  model, variables, inputs = small.initialised('causalnet')
  derived = model.apply(variables, inputs).logits
  [(name, flow)] = inputs.items()
  positions = flow_images.position_images(flow)
  stored, _ = small.make('causalnet', position_images='stored')
  both = {name: jnp.concatenate([flow, positions], axis=1)}
  np.testing.assert_array_equal(stored.apply(variables, both).logits, derived)
  others = {name: jnp.concatenate([flow, -positions], axis=1)}
  assert np.abs(stored.apply(variables, others).logits - derived).max() > 1e-3
