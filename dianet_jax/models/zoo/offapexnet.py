"""Off-ApexNet: two shallow streams, one for each component of the flow.

Source: Gan et al., "OFF-ApexNet on Micro-expression Recognition System", arXiv
1805.08699. The authors published no PyTorch code; the layers are those of a
reimplementation (in the repository of Off-TANet), which has no activation after
its convolutions. Stated in the paper of STSTNet: depth 5, 2.77 M parameters;
here 2,664,475 with three
classes. Ours: ReLU after the convolutions, and the training, which is
unverified. Published: UF1 .7196 on the composite; .703 without a choice of
epochs (arXiv 2211.11425).
"""

from collections.abc import Iterator, Mapping
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.core import schema
from dianet_jax.models import layers, official
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import flow_images, ststnet


@dataclasses.dataclass(frozen=True)
class OffApexNetSettings(flow_images.Settings):
  """Off-ApexNet."""

  name: str = 'offapexnet'
  channel_order: str = 'rgb'
  filters: tuple[int, ...] = schema.key((6, 16), 'Filters of the convolutions.')
  width: int = schema.key(
    1024, 'Features of both hidden layers.', schema.at_least(1)
  )
  conv_relu: bool = schema.key(
    True, 'ReLU after the convolutions. Ours; the code has none.'
  )
  dropout: float = schema.key(
    0.5, 'Dropout rate after both hidden layers.', schema.BELOW_ONE
  )


class OffApexNet(nn.Module):
  """u and v of onset to apex -> logits; attributes: see `registry.Model`.

  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'phase_flow': images}, jax.random.key(0)
  >>> model = OffApexNet(3)
  >>> outputs, variables = jax.eval_shape(model.init_with_output, key, inputs)
  >>> sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
  2664475
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: OffApexNetSettings = OffApexNetSettings()
  dtype: Any = None

  Settings: ClassVar[type[OffApexNetSettings]] = OffApexNetSettings
  reads: ClassVar[tuple[str, ...]] = ('phase_flow',)
  # STSTNet's, with a higher learning rate; unverified.
  recommended: ClassVar[Mapping[str, Any]] = {
    **ststnet.STSTNet.recommended,
    'train.learning_rate': 1e-4,
  }
  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^cnn(\d)\.conv(\d)', r'stream_\1_convolution_\2'),
      (r'^dense\.0', 'hidden_1'),
      (r'^dense\.3', 'hidden_2'),
      (r'^dense\.6', 'classifier'),
    )
  )
  feature_layers: ClassVar[str] = r'stream_\d_convolution_2'

  @staticmethod
  def check(
    settings: OffApexNetSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    [spec] = specs.values()
    yield (
      'channel_order',
      settings.channel_order == 'rgb' and spec.shape[-1] >= 2,
      'rgb, and images whose first two channels are u and v',
    )

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Float[Array, 'clip view height width channel']],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view. `valid` has no effect."""
    del valid
    settings = self.settings
    image = flow_images.read(inputs, settings)[:, 0]
    streams = []
    for component in range(2):
      x = image[..., component : component + 1]
      for number, filters in enumerate(settings.filters, 1):
        x = layers.Conv(
          filters,
          (5, 5),
          padding=2,
          kernel_init=layers.uniform_fan_in,
          dtype=self.dtype,
          name=f'stream_{component + 1}_convolution_{number}',
        )(x)
        x = nn.relu(x) if settings.conv_relu else x
        x = layers.max_pool(x, (2, 2), (2, 2))
      # The order of the original: channel, row, column.
      streams.append(x.transpose(0, 3, 1, 2).reshape(len(x), -1))
    x = jnp.concatenate(streams, axis=-1)
    for number in (1, 2):
      x = nn.Dense(
        settings.width,
        kernel_init=layers.uniform_fan_in,
        dtype=self.dtype,
        name=f'hidden_{number}',
      )(x)
      x = nn.Dropout(settings.dropout, deterministic=not train)(nn.relu(x))
    logits = nn.Dense(
      self.num_classes, kernel_init=layers.uniform_fan_in, name='classifier'
    )(layers.widened(x))
    return Outputs(logits[:, None])
