"""STSTNet: three shallow branches on one flow image.

Source: Liong et al., "Shallow Triple Stream Three-dimensional CNN for
Micro-expression Recognition", arXiv 1902.03634, and its PyTorch code. Stated:
three branches of 3, 5 and 8 filters, Adam 5e-5, 500 epochs. Measured: padding
of 2 (in the paper maps keep their size), the order convolution, ReLU,
normalisation, 800 epochs, batches of 256 ordered by class (here
`train.order=by_class`); 1,683 parameters (stated: 1,670). Ours: shuffled
batches, and both phases as an option. Published: UF1 .7353 on the composite.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import functools
import operator
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
import numpy as np

from dianet_jax.core import schema
from dianet_jax.models import layers, official
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import flow_images

PHASES = {'first': 1, 'channels': 2, 'networks': 2}


@dataclasses.dataclass(frozen=True)
class STSTNetSettings(flow_images.Settings):
  """STSTNet."""

  name: str = 'ststnet'
  filters: tuple[int, ...] = schema.key(
    (3, 5, 8), 'Filters of the branches. Stated.'
  )
  padding: int = schema.key(
    2,
    'Padding of the convolutions, pixels: 2 (the code), or 1, which keeps the'
    ' size (the paper).',
    schema.Check(lambda value: value in (1, 2), '1 or 2'),
  )
  phases: str = schema.key(
    'first',
    'first: only onset to apex. Ours: channels (both phases as channels of one'
    ' image), networks (one network for each phase, logits added).',
    schema.one_of(*PHASES),
  )
  dropout: float = schema.key(
    0.5, 'Dropout rate of the pooled maps.', schema.BELOW_ONE
  )


class STSTNet(nn.Module):
  """Flow images -> logits; attributes: see `registry.Model`.

  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'phase_flow': images}, jax.random.key(0)
  >>> model = STSTNet(3)
  >>> outputs, variables = jax.eval_shape(model.init_with_output, key, inputs)
  >>> sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
  1683
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: STSTNetSettings = STSTNetSettings()
  dtype: Any = None

  Settings: ClassVar[type[STSTNetSettings]] = STSTNetSettings
  reads: ClassVar[tuple[str, ...]] = ('phase_flow',)
  recommended: ClassVar[Mapping[str, Any]] = {
    'data.image_size': flow_images.SIZE,
    'data.scaling': 'minmax',
    'train.epochs': 800,
    'train.batch_size': 256,
    'train.learning_rate': 5e-5,
    'train.warmup_fraction': 0.0,
    'train.schedule': 'constant',
    'train.weight_decay': 0.0,
    'train.class_balance': 'none',
    'train.augment.flip_probability': 0.0,
    'train.augment.shift_pixels': 0,
    'objective.label_smoothing': 0.0,
  }
  feature_layers: ClassVar[str] = r'network(_\d)?/norm'
  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^conv(\d)', r'network.convolution_\1'),
      (r'^bn(\d)', r'network.norm_\1'),
      (r'^fc', 'network.classifier'),
    )
  )

  @staticmethod
  def check(
    settings: STSTNetSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from flow_images.check_views(specs, 'phases', PHASES[settings.phases])

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Float[Array, 'clip view height width channel']],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view."""
    images = flow_images.read(inputs, self.settings)
    views = [images[:, view] for view in range(PHASES[self.settings.phases])]
    if self.settings.phases == 'networks':
      logits = functools.reduce(
        operator.add,
        (
          self._network(f'network_{view}')(image, valid, train)
          for view, image in enumerate(views)
        ),
      )
    else:
      image = jnp.concatenate(views, axis=-1)
      logits = self._network('network')(image, valid, train)
    return Outputs(logits[:, None])

  def _network(self, name):
    return _Network(self.num_classes, self.settings, self.dtype, name=name)


class _Network(nn.Module):
  """Three branches and a linear classifier."""

  num_classes: int
  settings: STSTNetSettings
  dtype: Any

  @nn.compact
  def __call__(
    self,
    image: Float[Array, 'clip height width channel'],
    valid: Bool[Array, ' clip'] | None,
    train: bool,
  ) -> Float[Array, 'clip class_']:
    filters = self.settings.filters
    x = nn.map_variables(
      _Network._branches,
      ('params', 'batch_stats'),
      functools.partial(_joined, branches=len(filters)),
      functools.partial(_apart, filters=filters),
      init=self.is_initializing(),
      mutable=True,
    )(self, image, valid, train)
    x = nn.Dropout(self.settings.dropout, deterministic=not train)(x)
    x = layers.avg_pool(x, (2, 2), (2, 2))
    # The order of the original: channel, row, column.
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return nn.Dense(
      self.num_classes, kernel_init=layers.uniform_fan_in, name='classifier'
    )(layers.widened(x))

  def _branches(self, image, valid, train):
    """All branches at once, 1.5 times as fast on a CPU: they read one image."""
    x = layers.Conv(
      sum(self.settings.filters),
      (3, 3),
      padding=self.settings.padding,
      kernel_init=layers.uniform_fan_in,
      dtype=self.dtype,
      name='convolution',
    )(image)
    x = layers.BatchNorm(self.dtype, name='norm')(nn.relu(x), valid, train)
    return layers.max_pool(x, (3, 3), (3, 3), ((1, 1), (1, 1)))


def _joined(variables, branches):
  """Variables of the layers of each branch -> of layers with all filters."""
  return {
    collection: {
      layer: jax.tree.map(
        lambda *parts: jnp.concatenate(parts, -1),
        *(found[f'{layer}_{number + 1}'] for number in range(branches)),
      )
      for layer in ('convolution', 'norm')
      if f'{layer}_1' in found
    }
    for collection, found in variables.items()
  }


def _apart(variables, filters):
  """The inverse of `_joined`."""
  ends = np.cumsum(filters)
  return {
    collection: {
      f'{layer}_{number}': jax.tree.map(
        lambda values, start=end - size, end=end: values[..., start:end],
        arrays,
      )
      for layer, arrays in found.items()
      for number, (size, end) in enumerate(zip(filters, ends), 1)
    }
    for collection, found in variables.items()
  }
