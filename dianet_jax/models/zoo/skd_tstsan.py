"""SKD-TSTSAN: three streams on magnified motion, with self-distillation.

The streams are local, static and temporal. Source: Zhu et al., "Three-Stream
Temporal-Shift Attention Network Based on Self-Knowledge Distillation", arXiv
2406.17538, and its code. Stated: motion magnification, temporal shift,
attention over channels, self-distillation.
Measured: layers and 2,946,214 parameters with five classes; by default
everything but the classifiers starts from weights of macro-expressions
(`model.pretrained`), of unknown clips; the separate weights of the magnifier
are not loaded, because their names do not match; Adam with L2 in the gradient
and beta 2 of .99, here AdamW. Ours: random weights (LeCun's for the attention),
270 epochs with a cosine schedule (there 20,000 steps at a constant rate), class
weights of the fold, the temporal stream alone for flow images. Its loss is
`objectives.SelfDistillation`. The published tables could not be read.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.core import config, schema
from dianet_jax.models import layers, official
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import flow_images, magnifier

Frames = Float[Array, 'clip frame height width channel']
NewFrames = Float[Array, 'clip new_frame new_height new_width feature']
Valid = Bool[Array, ' clip'] | None
CHANNELS = 38


@dataclasses.dataclass(frozen=True)
class TemporalSettings(config.Model):
  """Settings shared by the network and its temporal stream alone."""

  amplification: float = schema.key(
    2.0, 'Factor by which motion is amplified. Measured.'
  )
  magnifier: str = schema.key(
    'learned',
    'learned; or none: the streams read images without magnification (ours).',
    schema.one_of('learned', 'none'),
  )
  width: float = schema.key(
    1.0, 'Multiplies all widths; 0.5 is cheap. Ours.', schema.ABOVE_ZERO
  )
  neutral_onset: bool = schema.key(
    False,
    'Whether flow is compared with 0.5, no motion (ours), instead of with 0, as'
    ' in the code.',
  )
  dropout: float = schema.key(
    0.2, 'Dropout rate before the classifiers.', schema.BELOW_ONE
  )


@dataclasses.dataclass(frozen=True)
class SKDTSTSANSettings(TemporalSettings):
  """SKD-TSTSAN."""

  name: str = 'skd_tstsan'


@dataclasses.dataclass(frozen=True)
class FlowSettings(TemporalSettings):
  """The temporal stream of SKD-TSTSAN alone."""

  name: str = 'skd_tstsan_t'
  enlarge: int = schema.key(
    48,
    'Images are first enlarged to this size, pixels; 0 = not.',
    schema.at_least(0),
  )


RECOMMENDED: Mapping[str, Any] = {
  'data.flow.scales': 5,
  'data.flow.warps': 5,
  'objective.name': 'self_distillation',
  'train.epochs': 270,
  'train.batch_size': 16,
  'train.learning_rate': 1e-3,
  'train.warmup_fraction': 0.0,
  'train.weight_decay': 5e-4,
  'train.augment.flip_probability': 0.0,
  'train.augment.shift_pixels': 0,
}


class ChannelAttention(nn.Module):
  """Attention to channels, from mean and maximum of neighbouring channels.

  Source: Wang et al., "ECA-Net: Efficient Channel Attention for Deep
  Convolutional Neural Networks", CVPR 2020; the maximum is SKD-TSTSAN's.

  Attributes:
    dtype: computation dtype; None for that of x.
  """

  dtype: Any = None

  @nn.compact
  def __call__(self, x: Frames) -> NewFrames:
    """Multiplies each channel of each clip and frame by a weight in 0..1."""
    size = int((math.log2(x.shape[-1]) + 1) / 2)
    size += 1 - size % 2
    convolution = layers.Conv(
      1,
      (size,),
      padding=size // 2,
      use_bias=False,
      dtype=self.dtype,
      name='convolution',
    )
    places = x.reshape(*x.shape[:2], -1, x.shape[-1])
    summed = sum(
      convolution(y[..., None])[..., 0]
      for y in (places.mean(axis=2), layers.largest(places, 2))
    )
    return x * nn.sigmoid(summed)[:, :, None, None]


class _Layers(nn.Module):
  """Convolutions, each with norm and ReLU.

  Attributes:
    widths: features of each convolution.
    first: number of the first convolution, for names.
    shifted: whether a temporal shift precedes each convolution.
    attends: whether channel attention follows each.
    size: rows, and columns, of the kernels; 3 with padding, others without.
    dtype: computation dtype.
  """

  widths: tuple[int, ...]
  first: int = 1
  shifted: bool = False
  attends: bool = False
  size: int = 3
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Frames, valid: Valid, train: bool) -> NewFrames:
    for number, width in enumerate(self.widths, self.first):
      x = layers.temporal_shift(x) if self.shifted else x
      x = layers.Conv(
        width,
        (self.size, self.size),
        padding=1 if self.size == 3 else 'VALID',
        kernel_init=layers.uniform_fan_in,
        dtype=self.dtype,
        name=f'convolution_{number}',
      )(x)
      x = layers.BatchNorm(self.dtype, name=f'norm_{number}')(x, valid, train)
      x = nn.relu(x)
      if self.attends:
        x = ChannelAttention(self.dtype, name=f'attention_{number}')(x)
    return x


class _Stream(nn.Module):
  """Onset and apex -> features of the main path and of two branches."""

  settings: TemporalSettings
  temporal: bool = False
  local: bool = False
  dtype: Any = None

  @nn.compact
  def __call__(
    self, onset: magnifier.Onset, apex: Frames, valid: Valid, train: bool
  ) -> list[Float[Array, 'clip feature']]:
    settings = self.settings
    narrow, wide = magnifier.widths_of(64, 128, factor=settings.width)
    x = apex
    if settings.magnifier == 'learned':
      x = magnifier.Magnifier(
        settings.width, settings.amplification, self.dtype, name='magnifier'
      )(onset, apex)

    def layers_of(widths, first=1, *, name, size=3, shifted=self.temporal):
      return _Layers(
        widths, first, shifted, self.local, size, self.dtype, name=name
      )

    def branch(x, number):
      y = layers_of((wide, wide), name=f'branch_{number}')(x, valid, train)
      return y.mean(axis=(1, 2, 3))

    x = layers_of((narrow,), name='stem', size=5, shifted=False)(
      x, valid, train
    )
    x = layers.max_pool(x, (5, 5), (2, 2), ((2, 2), (2, 2)))
    first = branch(x, 1)
    x = layers_of((narrow, narrow), 2, name='middle')(x, valid, train)
    x = layers.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    second = branch(x, 2)
    x = layers_of((wide, wide), 4, name='top')(x, valid, train)
    return [x.mean(axis=(1, 2, 3)), first, second]


def _outputs(self, streams, train) -> Outputs:
  """Logits of the main path; those of the branches are auxiliary."""
  features = [
    layers.widened(jnp.concatenate(parts, axis=-1)) for parts in zip(*streams)
  ]
  drop = nn.Dropout(self.settings.dropout, deterministic=not train)
  logits = [
    nn.Dense(self.num_classes, kernel_init=layers.uniform_fan_in, name=name)(
      drop(feature)
    )
    for name, feature in zip(
      ('classifier', 'classifier_1', 'classifier_2'), features
    )
  ]
  return Outputs(
    logits[0][:, None],
    {
      'logits': jnp.stack(logits[1:], axis=1),
      'features': features[0],
      'head_features': jnp.stack(features[1:], axis=1),
    },
  )


def _flow_onset(flow: Frames, settings: TemporalSettings) -> magnifier.Onset:
  """One frame of one clip, because the flow of all onsets is the same."""
  return jnp.full_like(flow[:1, :1], 0.5 if settings.neutral_onset else 0.0)


class SKDTSTSAN(nn.Module):
  """38 channels -> logits; attributes: see `registry.Model`.

  >>> settings = SKDTSTSANSettings(width=0.125)
  >>> images = jax.ShapeDtypeStruct((4, 1, 48, 48, 38), 'float32')
  >>> inputs, key = {'skd_tstsan': images}, jax.random.key(0)
  >>> model = SKDTSTSAN(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: SKDTSTSANSettings = SKDTSTSANSettings()
  dtype: Any = None

  Settings: ClassVar[type[SKDTSTSANSettings]] = SKDTSTSANSettings
  reads: ClassVar[tuple[str, ...]] = ('skd_tstsan',)
  # Not the stream of blocks, whose places are those of every block.
  feature_layers: ClassVar[str] = 'stream_[ST]/top'
  recommended: ClassVar[Mapping[str, Any]] = RECOMMENDED | {
    'data.scaling': 'none'
  }
  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^Aug_Encoder_([LST])\.cba_(\d)', r'stream_\1.magnifier.encode_\2'),
      (
        r'^Aug_Encoder_([LST])\.resblks\.',
        r'stream_\1.magnifier.encode_block_',
      ),
      (r'^Aug_Encoder_([LST])\.motion_cba', r'stream_\1.magnifier.motion'),
      (
        r'^Aug_Encoder_([LST])\.motion_resblks\.',
        r'stream_\1.magnifier.motion_block_',
      ),
      (r'^Aug_Manipulator_([LST])\.g\.', r'stream_\1.magnifier.difference.'),
      (r'^Aug_Manipulator_([LST])\.h_conv', r'stream_\1.magnifier.amplify'),
      (
        r'^Aug_Manipulator_([LST])\.h_resblk',
        r'stream_\1.magnifier.amplify_block',
      ),
      (r'(?<=_\d)\.cba_1|(?<=amplify_block)\.cba_1', '.first'),
      (r'(?<=_\d)\.cba_2|(?<=amplify_block)\.cba_2', '.second'),
      (r'\.conv2d\.', '.convolution.'),
      (r'^AC(\d)_conv(\d)_([LST])', r'stream_\3.branch_\1.convolution_\2'),
      (r'^AC(\d)_bn(\d)_([LST])', r'stream_\3.branch_\1.norm_\2'),
      (r'^AC(\d)_ECA(\d)', r'stream_L.branch_\1.attention_\2'),
      (r'^AC(\d)_fc', r'classifier_\1'),
      (r'^fc2', 'classifier'),
      (r'^conv(\d)_([LST])', r'stream_\2.convolution_\1'),
      (r'^bn(\d)_([LST])', r'stream_\2.norm_\1'),
      (r'^ECA(\d)', r'stream_L.attention_\1'),
      (r'^(stream_.)\.(\w+_1)\b', r'\1.stem.\2'),
      (r'^(stream_.)\.(\w+_[23])\b', r'\1.middle.\2'),
      (r'^(stream_.)\.(\w+_[45])\b', r'\1.top.\2'),
      (r'\.stem\.branch_', '.branch_'),
      (r'\.middle\.branch_', '.branch_'),
      (r'\.net\.', '.'),
      (r'\.conv\.', '.convolution.'),
    )
  )

  @staticmethod
  def check(
    settings: SKDTSTSANSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    del settings
    [spec] = specs.values()
    yield (
      'name',
      spec.shape[-1] == CHANNELS,
      f'skd_tstsan_t, or an input of {CHANNELS} channels: there are'
      f' {spec.shape[-1]}',
    )

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Float[Array, 'clip view height width channel']],
    valid: Valid = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view.

    Channels are apex and onset; 16 blocks of the apex, 16 of the onset; then u
    and v of each phase. `auxiliary` holds 'logits' [clip, head, class] and
    'head_features' [clip, head, feature] of the branches, and 'features'
    [clip, feature] of the main path.
    """
    [x] = inputs.values()
    flow = jnp.concatenate([x[..., 34:36], x[..., 36:38]], axis=1)
    onset = _flow_onset(flow, self.settings)
    streams = [
      self._stream('L', local=True)(x[..., 18:34], x[..., 2:18], valid, train),
      self._stream('S')(x[..., 1:2], x[..., :1], valid, train),
      self._stream('T', temporal=True)(onset, flow, valid, train),
    ]
    return _outputs(self, streams, train)

  def _stream(self, name, **options):
    return _Stream(
      self.settings, dtype=self.dtype, name=f'stream_{name}', **options
    )


class SKDTSTSANFlow(nn.Module):
  """Flow of both phases -> logits; attributes: see `registry.Model`.

  >>> settings = FlowSettings(width=0.125)
  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'phase_flow': images}, jax.random.key(0)
  >>> model = SKDTSTSANFlow(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: FlowSettings = FlowSettings()
  dtype: Any = None

  Settings: ClassVar[type[FlowSettings]] = FlowSettings
  reads: ClassVar[tuple[str, ...]] = ('phase_flow',)
  feature_layers: ClassVar[str] = 'stream_T/top'
  check_channels = staticmethod(flow_images.check_vectors)
  recommended: ClassVar[Mapping[str, Any]] = {
    **RECOMMENDED,
    # Read as 0..1.
    'data.scaling': 'minmax',
    'data.image_size': 48,
  }

  @staticmethod
  def check(
    settings: FlowSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from flow_images.check_views(specs, 'name', 2)
    [spec] = specs.values()
    size = settings.enlarge or spec.shape[1]
    yield (
      'enlarge',
      size >= 24,
      f'24 or more: images have {spec.shape[1]} pixels',
    )

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Float[Array, 'clip view height width channel']],
    valid: Valid = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view, `auxiliary` as of `SKDTSTSAN`."""
    [images] = inputs.values()
    # The range of the original: 0..1 instead of -1..1.
    flow = (images[:, :2, ..., :2] + 1) / 2
    flow = flow_images.enlarged(flow, self.settings.enlarge)
    onset = _flow_onset(flow, self.settings)
    stream = _Stream(
      self.settings, temporal=True, dtype=self.dtype, name='stream_T'
    )
    return _outputs(self, [stream(onset, flow, valid, train)], train)
