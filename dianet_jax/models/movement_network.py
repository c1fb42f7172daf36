"""A small network that distinguishes expressions from other facial movements.

Ours. From the displacements of 13 facial patches and of the head at 11 lags
before and after a step of a long video (`clips.movement_windows`), it predicts
whether the step belongs to an expression. It is part of the learned spotter and
not in the registry of models, because it reads no clips.
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

# Percent of the interocular distance. Inputs are compressed: linear below this
# value and logarithmic above, because blinks are ten times as large as
# micro-expressions.
_LINEAR_RANGE = 0.3


@dataclasses.dataclass(frozen=True)
class MovementNetworkSettings(config.Model):
  """Settings of the network of the learned spotter."""

  name: str = 'movement_network'
  widths: tuple[int, ...] = schema.key((64, 32), 'Features of each layer.')
  dropout: float = schema.key(
    0.3, 'Dropout of features; inputs have half of it.', schema.BELOW_ONE
  )
  scale: float = schema.key(
    0.3,
    'Augmentation: standard deviation of the logarithm of a random factor by'
    ' which each input is multiplied.',
  )
  noise: float = schema.key(
    0.1,
    'Augmentation: standard deviation of added noise in percent of the'
    ' interocular distance.',
  )


class MovementNetwork(nn.Module):
  """Displacements around a step -> logits of its class.

  For the attributes see `registry.Model`.

  >>> steps = jax.ShapeDtypeStruct((4, 60, 2), 'float32')
  >>> outputs, _ = jax.eval_shape(
  ...   MovementNetwork(3).init_with_output,
  ...   jax.random.key(0), {'differences': steps},
  ... )
  >>> outputs.logits.shape
  (4, 1, 3)
  """

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
    """Accepts all settings."""
    del settings, specs
    yield from ()

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Float[Array, 'clip difference channel']],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """Computes the logits.

    Args:
      inputs: 'differences', float32, percent of the interocular distance, see
        `movement_windows.differences`; each step is treated as a clip.
      valid: has no effect, because no layer mixes steps.
      train: whether dropout and augmentation are on; needs the `dropout` key.

    Returns:
      Logits [step, 1, class].
    """
    del valid
    settings, x = self.settings, inputs['differences']
    if train:
      x = self._augmented(x)
    x = jnp.arcsinh(x / _LINEAR_RANGE).reshape(len(x), -1)
    rate = settings.dropout / 2
    for width in settings.widths:
      x = nn.Dropout(rate, deterministic=not train)(x)
      x = nn.relu(nn.Dense(width, dtype=self.dtype)(x))
      rate = settings.dropout
    x = nn.Dropout(rate, deterministic=not train)(x)
    return Outputs(nn.Dense(self.num_classes)(x.astype(jnp.float32))[:, None])

  def _augmented(
    self, x: Float[Array, 'clip difference channel']
  ) -> Float[Array, 'clip difference channel']:
    """Varies the amplitude of movements and adds noise."""
    scale_key, noise_key = jax.random.split(self.make_rng('dropout'))
    exponent = jax.random.normal(scale_key, (len(x), 1, 1))
    x = x * jnp.exp(self.settings.scale * exponent)
    return x + self.settings.noise * jax.random.normal(noise_key, x.shape)
