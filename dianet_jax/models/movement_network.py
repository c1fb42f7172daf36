"""A small network that tells expressions from other movements of a face.

Ours: of the displacements of thirteen patches of the face and of the head at
eleven distances in time, before and after a step, whether the step lies in an
expression. It is a spotter's, no row of the registry: it reads no clip.
"""

from collections.abc import Iterator, Mapping
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.core import config, schema
from dianet_jax.models.registry import Outputs

# Percent of the distance between the eyes: below it values stay as they are,
# above it their logarithm counts, for blinks are ten times what is looked for.
_UNIT = 0.3


@dataclasses.dataclass(frozen=True)
class MovementNetworkSettings(config.Model):
  """The network of the learned spotter."""

  name: str = 'movement_network'
  widths: tuple[int, ...] = schema.key((64, 32), 'Features of each layer.')
  dropout: float = schema.key(
    0.3, 'Of the features; of the inputs half of it.', schema.BELOW_ONE
  )
  scale: float = schema.key(
    0.3, 'In training movements are larger or smaller by about this share.'
  )
  noise: float = schema.key(
    0.1, 'In training, added: percent of the distance between the eyes.'
  )


class MovementNetwork(nn.Module):
  """Differences of one step -> logits; attributes: see `registry.Model`."""

  num_classes: int
  settings: MovementNetworkSettings = MovementNetworkSettings()
  dtype: Any = None

  Settings: ClassVar[type[MovementNetworkSettings]] = MovementNetworkSettings
  reads: ClassVar[tuple[str, ...]] = ('differences',)
  recommended: ClassVar[Mapping[str, Any]] = {
    'train.epochs': 20,
    'train.batch_size': 256,
    'train.learning_rate': 1e-3,
    'train.weight_decay': 0.1,
    'train.class_balance': 'none',
  }

  @staticmethod
  def check(
    settings: Any, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """Any differences will do."""
    del settings, specs
    yield from ()

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Float[Array, 'clip difference channel']],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """Logits of steps, each a clip with one view."""
    del valid
    settings, x = self.settings, inputs['differences']
    if train:
      x = self._disturbed(x)
    x = jnp.arcsinh(x / _UNIT).reshape(len(x), -1)
    rate = settings.dropout / 2
    for width in settings.widths:
      x = nn.Dropout(rate, deterministic=not train)(x)
      x = nn.relu(nn.Dense(width, dtype=self.dtype)(x))
      rate = settings.dropout
    x = nn.Dropout(rate, deterministic=not train)(x)
    return Outputs(nn.Dense(self.num_classes)(x.astype(jnp.float32))[:, None])

  def _disturbed(
    self, x: Float[Array, 'clip difference channel']
  ) -> Float[Array, 'clip difference channel']:
    """Faces move more or less, and cameras are noisier."""
    scale, noise = jax.random.split(self.make_rng('dropout'))
    each = jax.random.normal(scale, (len(x), 1, 1))
    x = x * jnp.exp(self.settings.scale * each)
    return x + self.settings.noise * jax.random.normal(noise, x.shape)
