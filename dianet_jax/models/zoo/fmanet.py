"""FMANet, our reading: flow of both phases, weighted by its magnitude.

Source: arXiv 2510.07810, without public code. Stated: both phases' flow, a
learned modulation by its magnitude, adaptive fusion, attention to salient
regions. Ours: every layer, the normalisation (the magnitude is that of the
resized flow) and the training. Published accuracies (from a secondary source):
SAMM .8456, CASME II .8730, with an unknown protocol.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.core import config, schema
from dianet_jax.models import layers, official
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import flow_images

Map = Float[Array, 'clip height width channel']
NewMap = Float[Array, 'clip new_height new_width feature']
Views = Float[Array, 'clip view height width channel']
Valid = Bool[Array, ' clip'] | None
STEMS = {'3x3': (3, 1, 1), '7x7': (7, 4, 3)}


@dataclasses.dataclass(frozen=True)
class FMANetSettings(config.Model):
  """FMANet, our reading."""

  name: str = 'fmanet'
  flow: str = schema.key(
    'images',
    'images: u and v are grey levels of unknown scale, whose median stands for'
    ' no motion; vectors: displacements of both phases in the same unit.',
    schema.one_of('images', 'vectors'),
  )
  third_channel: str = schema.key(
    'magnitude',
    'Third channel beside u and v: magnitude, or strain, that of the images.',
    schema.one_of('magnitude', 'strain'),
  )
  stem: str = schema.key(
    '3x3',
    'First convolution: 3x3 (images of 28 pixels), or 7x7 with stride 4 (112).',
    schema.one_of(*STEMS),
  )
  widths: tuple[int, ...] = schema.key(
    (32, 64, 128),
    'Features of the stem, of each phase, of both phases.',
    schema.Check(
      lambda widths: len(widths) == 3 and min(widths) >= 1,
      'three numbers of at least 1',
    ),
  )
  dropout: float = schema.key(
    0.5, 'Dropout rate before the classifier.', schema.BELOW_ONE
  )


def flow_of(images: Views, kind: str) -> Float[Array, 'clip view h w uv']:
  """The flow vectors of images, u and v, with 0 for no motion.

  >>> u = jnp.array([1.0, 2.0, 6.0])
  >>> images = jnp.stack([u, u, u], axis=-1)[None, None, None]
  >>> flow_of(images, 'images')[..., 0].ravel().tolist()
  [-0.25, 0.0, 1.0]

  Args:
    images: u, v and further channels.
    kind: 'images' or 'vectors', see `FMANetSettings.flow`.

  Returns:
    Of vectors, u and v as they are. Of images, each minus its median over the
    image, divided by its largest absolute value: -1..1.
  """
  flow = images[..., :2]
  if kind == 'vectors':
    return flow
  flow = flow - jnp.median(flow, axis=(2, 3), keepdims=True)
  largest = jnp.abs(flow).max(axis=(2, 3), keepdims=True)
  return flow / jnp.where(largest == 0, 1, largest)


def magnitude_of(
  flow: Float[Array, 'clip view h w uv'],
) -> Float[Array, 'clip view h w one']:
  """Length of flow vectors; its gradient is 0 where there is no motion.

  >>> flow = jnp.array([[3.0, 4.0], [0.0, 0.0]])[None, None, None]
  >>> magnitude_of(flow).ravel().tolist()
  [5.0, 0.0]
  >>> jax.grad(lambda flow: magnitude_of(flow).sum())(flow)[0, 0, 0, 1].tolist()
  [0.0, 0.0]

  Args:
    flow: u and v, any unit.

  Returns:
    The same unit.
  """
  squares = (flow**2).sum(axis=-1, keepdims=True)
  moves = squares > 0
  return jnp.where(moves, jnp.sqrt(jnp.where(moves, squares, 1)), 0)


class FMANet(nn.Module):
  """Both phases -> logits; attributes: see `registry.Model`.

  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'phase_flow': images}, jax.random.key(0)
  >>> model = FMANet(3)
  >>> outputs, variables = jax.eval_shape(model.init_with_output, key, inputs)
  >>> sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
  356599
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: FMANetSettings = FMANetSettings()
  dtype: Any = None

  Settings: ClassVar[type[FMANetSettings]] = FMANetSettings
  reads: ClassVar[tuple[str, ...]] = ('phase_flow',)
  recommended: ClassVar[Mapping[str, Any]] = {
    # From frames; stored images of flow have no unit.
    'data.image_size': 112,
    'data.flow.coding': 'pixels',
    # The flow is that of SKD-TSTSAN.
    'data.flow.scales': 5,
    'data.flow.warps': 5,
    'data.scaling': 'none',
    'model.flow': 'vectors',
    'model.stem': '7x7',
    'train.epochs': 100,
    'train.batch_size': 32,
    'train.learning_rate': 1e-3,
    'train.weight_decay': 1e-2,
    'train.augment.rotation_degrees': 5.0,
    'train.augment.shift_pixels': 0,
    'objective.label_smoothing': 0.0,
  }
  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^phase(\d)', r'phase_\1'),
      (r'mod(\d)', r'modulation_\1'),
      (r'conv(\d)', r'convolution_\1'),
      (r'bn(\d)', r'norm_\1'),
      (r'bns', 'shortcut_norm'),
      (r'short\.', 'shortcut.'),
      (r'\.bn\.', '.norm.'),
      (r'^fc1', 'squeeze'),
      (r'^fc2', 'weigh'),
      (r'^head', 'classifier'),
    )
  )
  feature_layers: ClassVar[str] = r'phase_\d'

  @staticmethod
  def check(
    settings: FMANetSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from flow_images.check_views(specs, 'name', 2)
    [spec] = specs.values()
    step = 2 * STEMS[settings.stem][1]
    yield (
      'stem',
      spec.shape[1] % step == 0,
      f'one whose steps, {step} with its block, divide'
      f' data.image_size={spec.shape[1]}',
    )
    yield (
      'third_channel',
      settings.third_channel == 'magnitude' or spec.shape[-1] >= 3,
      'magnitude: the images have no third channel',
    )

  @staticmethod
  def check_channels(
    settings: FMANetSettings, channels: Mapping[str, Sequence[Any]]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from flow_images.check_vectors(settings, channels)
    [named] = channels.values()
    unit = all(channel.unit for channel in named if channel.component)
    yield (
      'flow',
      settings.flow != 'vectors' or unit,
      'images, or data.flow.coding=pixels with a data set of frames: the'
      ' components are scaled separately',
    )

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Views],
    valid: Valid = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view."""
    settings = self.settings
    [images] = inputs.values()
    images = images[:, :2]
    flow = flow_of(images, settings.flow)
    magnitude = magnitude_of(flow)
    low = magnitude.min(axis=(2, 3), keepdims=True)
    span = magnitude.max(axis=(2, 3), keepdims=True) - low
    strength = (magnitude - low) / jnp.where(span == 0, 1, span)
    # One scale for each clip keeps its phases comparable.
    scale = magnitude.max(axis=(1, 2, 3, 4), keepdims=True)
    third = (
      magnitude if settings.third_channel == 'magnitude' else images[..., 2:3]
    )
    x = jnp.concatenate([flow, third], axis=-1) / jnp.where(
      scale == 0, 1, scale
    )
    phases = [
      _Phase(settings, self.dtype, name=f'phase_{phase + 1}')(
        x[:, phase], strength[:, phase], valid, train
      )
      for phase in range(2)
    ]
    x = self._attended(self._weighed(phases))
    x = _Residual(settings.widths[2], self.dtype, name='trunk')(x, valid, train)
    x = x.mean(axis=(1, 2))
    x = nn.Dropout(settings.dropout, deterministic=not train)(x)
    logits = nn.Dense(self.num_classes, name='classifier')(layers.widened(x))
    return Outputs(logits[:, None])

  def _weighed(self, phases: list[Map]) -> NewMap:
    """Weighted sum of the phases, with weights for each clip and feature."""
    width = phases[0].shape[-1]
    means = jnp.concatenate([x.mean(axis=(1, 2)) for x in phases], axis=-1)
    y = nn.relu(nn.Dense(width // 2, dtype=self.dtype, name='squeeze')(means))
    y = nn.Dense(2 * width, dtype=self.dtype, name='weigh')(y)
    weights = jax.nn.softmax(layers.widened(y).reshape(-1, 2, width), axis=1)
    weights = weights.astype(phases[0].dtype)[:, :, None, None]
    return weights[:, 0] * phases[0] + weights[:, 1] * phases[1]

  def _attended(self, x: Map) -> NewMap:
    """Spatial attention, from mean and maximum over the features."""
    y = jnp.stack([x.mean(axis=-1), layers.largest(x, -1)], axis=-1)
    y = layers.Conv(
      1, (7, 7), padding=3, use_bias=False, dtype=self.dtype, name='spatial'
    )(y)
    return x * (1 + nn.sigmoid(y))


class _Phase(nn.Module):
  """Features of one phase, modulated by the magnitude of its motion."""

  settings: FMANetSettings
  dtype: Any

  @nn.compact
  def __call__(
    self,
    x: Map,
    strength: Float[Array, 'clip height width 1'],
    valid: Valid,
    train: bool,
  ) -> NewMap:
    settings = self.settings
    size, stride, padding = STEMS[settings.stem]
    x = layers.Conv(
      settings.widths[0],
      (size, size),
      stride,
      padding,
      use_bias=False,
      dtype=self.dtype,
      name='stem',
    )(x)
    x = nn.relu(layers.BatchNorm(self.dtype, name='norm')(x, valid, train))
    x = _Residual(settings.widths[1], self.dtype, name='block')(x, valid, train)
    window = (strength.shape[1] // x.shape[1],) * 2
    gate = layers.avg_pool(strength, window, window)

    def convolved(y, width, name, **options):
      return layers.Conv(
        width, (3, 3), padding=1, dtype=self.dtype, name=name, **options
      )(y)

    gate = nn.relu(convolved(gate, 8, 'modulation_1'))
    # Zeros: at first every position has the same weight.
    zeros = nn.initializers.zeros
    gate = convolved(gate, 1, 'modulation_2', kernel_init=zeros)
    return 2 * nn.sigmoid(gate) * x


class _Residual(nn.Module):
  """Two 3x3 convolutions with a shortcut; half the rows and columns."""

  width: int
  dtype: Any

  @nn.compact
  def __call__(self, x: Map, valid: Valid, train: bool) -> NewMap:
    def convolved(y, size, stride, name, norm):
      y = layers.Conv(
        self.width,
        (size, size),
        stride,
        size // 2,
        use_bias=False,
        dtype=self.dtype,
        name=name,
      )(y)
      return layers.BatchNorm(self.dtype, name=norm)(y, valid, train)

    y = nn.relu(convolved(x, 3, 2, 'convolution_1', 'norm_1'))
    y = convolved(y, 3, 1, 'convolution_2', 'norm_2')
    return nn.relu(y + convolved(x, 1, 2, 'shortcut', 'shortcut_norm'))
