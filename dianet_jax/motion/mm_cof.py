"""Magnitude-modulated combined optical flow: both phases in one image.

Source: FMANet, arXiv 2510.07810. From a secondary source: magnitudes, their
scaling, their weighted sum and that a threshold modulates them. Ours: the
weights of 0.5, the formulas of the modulation and the descriptor.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core import config
from dianet_jax.core.arrays import AnyArray
from dianet_jax.motion import flow as flow_lib
from dianet_jax.motion import key_frames as key_frames_lib
from dianet_jax.motion import phase_flow, strain
from dianet_jax.motion.registry import Channel, ClipBatch, Representation

_STRENGTHENED, _WEAKENED = 1.5, 0.5
# Width of the smooth step of magnitudes.
_SOFTNESS = 0.05


def combine(
  flow: Float[AnyArray, '*batch 2 height width 2'],
  magnitude: Float[AnyArray, '*batch 2 height width'],
  weights: Sequence[float] = (0.5, 0.5),
  modulation: str = 'hard',
) -> tuple[
  Float[Array, '*batch height width 2'], Float[Array, '*batch height width']
]:
  """Combines the motion of both phases.

  The face moves back in the second phase, so its flow is subtracted. The
  magnitudes of each phase are scaled to 0..1 (constant ones to 0), weighted and
  added. By hard modulation, values at or above the mean of the image are
  multiplied by 1.5 and clipped to 1, the others by 0.5.

  Args:
    flow: from onset to apex and from apex to offset, in any unit.
    magnitude: of the flow; it may have been computed before resizing.
    weights: of the two phases, see `data.flow.phase_weights`.
    modulation: see `modulate`.

  Returns:
    The direction, a unit vector or 0; and the modulated magnitude, 0..1.

  In the example, the first phase moves to the right, most in the second pixel,
  and the second phase moves back.

  >>> onset_apex = jnp.array([[[0.0, 0.0], [4.0, 0.0]]])
  >>> flow = jnp.stack([onset_apex, -onset_apex])
  >>> direction, magnitude = combine(flow, strain.magnitude(flow))
  >>> direction.tolist(), magnitude.tolist()
  ([[[0.0, 0.0], [1.0, 0.0]]], [[0.0, 1.0]])
  """
  scaled = flow_lib.minmax(magnitude[..., None])[..., 0]
  first, second = weights
  combined = first * scaled[..., 0, :, :] + second * scaled[..., 1, :, :]
  difference = first * flow[..., 0, :, :, :] - second * flow[..., 1, :, :, :]
  return strain.orientation(difference), modulate(combined, modulation)


def modulate(
  magnitude: Float[AnyArray, '*batch height width'], kind: str
) -> Float[Array, '*batch height width']:
  """Strengthens large magnitudes and weakens small ones.

  Args:
    magnitude: 0..1.
    kind: 'hard', 'soft' or 'none', see `data.flow.modulation`.

  Returns:
    0..1.

  >>> magnitude = jnp.array([[0.0, 0.2, 0.4, 0.8]])
  >>> for kind in ('hard', 'soft'):
  ...   print((100 * modulate(magnitude, kind)).round().astype(int))
  [[  0  10  60 100]]
  [[  0  11  49 100]]
  """
  magnitude = jnp.asarray(magnitude)
  if kind == 'none':
    return magnitude
  above = magnitude - magnitude.mean(axis=(-2, -1), keepdims=True)
  if kind == 'hard':
    factor = jnp.where(above >= 0, _STRENGTHENED, _WEAKENED)
  else:
    factor = _WEAKENED + jax.nn.sigmoid(above / _SOFTNESS)
  return jnp.clip(factor * magnitude, 0, 1)


class MMCOF(Representation):
  """Direction times modulated magnitude, and this magnitude, in one view.

  With `data.flow.coding=hsv` it is a colour image, with the direction as hue
  and the magnitude as value; colours of a direction cannot be mirrored, so such
  images are trained without flips. From stored images it is approximate, see
  `phase_flow.displacement`.

  >>> [channel.name for channel in MM_COF.channels(config.Data())]
  ['x', 'y', 'magnitude']
  """

  title = 'MM-COF images'
  cached = True

  def unsupported(self, settings: config.Data, stored: str) -> str:
    """See `registry.Representation`."""
    return phase_flow.without_flow(settings, stored)

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """A vector of length 0..1 and its length, or three colours."""
    if settings.flow.coding == 'hsv':
      return flow_lib.CODED
    return (
      Channel('x', '1', flips_sign=True, component='x'),
      Channel('y', '1', component='y'),
      Channel('magnitude', '1'),
    )

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel]."""
    return 1, settings.image_size, settings.image_size, 3

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    del settings
    return ('onset to apex and back',)

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """See `registry.Representation`."""
    del settings
    return key_frames_lib.single_frames(key_frames, config.PHASES[:2])

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[Array, 'clip view height width channel']:
    """See the class; a phase of a single frame counts as no motion."""
    images = phase_flow.displacement(clips, settings)
    direction, magnitude = combine(
      images[..., :2],
      images[..., 2],
      settings.flow.phase_weights,
      settings.flow.modulation,
    )
    if settings.flow.coding == 'hsv':
      return strain.colors(direction, magnitude)[:, None]
    length = magnitude[..., None]
    return jnp.concatenate([direction * length, length], axis=-1)[:, None]


MM_COF = MMCOF()
