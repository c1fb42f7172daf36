"""TSFmicro: a retention backbone on apex minus onset, and one on the face.

Source: arXiv 2505.16372 and its code. Stated: two branches, summed late.
Measured: 12,793,003 parameters with five classes, of which 3,590 are unused
there and omitted here; AdamW with a weight decay of 0.6, also of biases and
norms, which are not decayed here; the learning rate is multiplied by .987 after
each of the first 50 epochs; images are turned by the nearest pixel and padded
with 0 before they are cropped; differences of frames overflow in 8 bits in the
search of key frames. With SAMM there are 199 epochs; for its five classes the
search range is .1, for three there is no search, a decay of .7, rotations of 4
degrees and shifts of 4 pixels. Ours: the face is reduced with antialiasing, a
cosine schedule with warm-up, rotations between pixels and shifts that repeat
the border, differences with their sign, both phases, and optical-flow images
without a face. The published tables could not be read.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from dianet_jax.core import schema
from dianet_jax.models import official
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import flow_images, frames, retention


@dataclasses.dataclass(frozen=True)
class RetentionSettings(frames.Settings):
  """Settings shared by TSFmicro and GAMDSS."""

  widths: tuple[int, ...] = schema.key(
    (64, 128, 256, 512),
    'Features of each stage.',
    schema.Check(
      lambda widths: len(widths) == 4 and all(w % 8 == 0 for w in widths),
      'four multiples of 8',
    ),
  )
  projection: int = schema.key(
    1024, 'Features before the classifier.', schema.at_least(1)
  )
  position: bool = schema.key(
    True, 'Whether a second branch reads the face; false for flow images.'
  )
  antialias: bool = schema.key(
    True,
    'Whether that face is reduced with antialiasing. Ours.',
  )
  stem_stride: int = schema.key(
    2,
    'Stride of the first convolution; 1 for small images.',
    schema.Check(lambda value: value in (1, 2), '1 or 2'),
  )
  enlarge: int = schema.key(
    0,
    'Images are first enlarged to this size, pixels; 0 = not. Ours.',
    schema.at_least(0),
  )
  drop_path: float = schema.key(
    0.1,
    'Probability that the last residual branch is left out in training.',
    schema.BELOW_ONE,
  )

  def shape(self) -> retention.Shape:
    """Sizes of the backbone."""
    return retention.Shape(
      widths=self.widths,
      projection=self.projection,
      position_depth=2 if self.position else 0,
      stem_stride=self.stem_stride,
      antialias=self.antialias,
      drop_path=self.drop_path,
    )


@dataclasses.dataclass(frozen=True)
class TSFmicroSettings(RetentionSettings):
  """TSFmicro."""

  name: str = 'tsfmicro'
  two_phases: bool = schema.key(
    False,
    'Whether the same weights read apex minus offset, too, with the face at the'
    ' offset; the mean of both logits predicts. Ours; needs'
    " data.inputs=('key_frames',).",
  )


def check_faces(
  settings: RetentionSettings, channels: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, bool, str]]:
  """Checks that a branch that reads faces is not fed with flow images.

  >>> from dianet_jax.motion.registry import Channel
  >>> channels = {'key_frames': [Channel('u', '', component='x')]}
  >>> [check] = check_faces(RetentionSettings(), channels)
  >>> check[:2]
  ('position', False)

  Args:
    settings: of the model.
    channels: see `registry.Model`.

  Yields:
    One check, see `registry.Model.check`.
  """
  [named] = channels.values()
  flow = any(channel.component or channel.coded for channel in named)
  yield (
    'position',
    not (settings.position and flow),
    'false: images of optical flow show no face',
  )


RECOMMENDED: Mapping[str, Any] = {
  **frames.UNSCALED,
  'data.image_size': 224,
  'data.key_frame_search': 0.0375,
  'data.train_on_annotated': False,
  'train.epochs': 174,
  'train.batch_size': 32,
  'train.learning_rate': 8e-4,
  'train.weight_decay': 0.6,
  'train.class_balance': 'none',
  'train.augment.rotation_degrees': 3.0,
  'train.augment.shift_pixels': 15,
  'objective.label_smoothing': 0.0,
}


class TSFmicro(nn.Module):
  """Apex minus onset, onset -> logits; attributes: see `registry.Model`.

  >>> settings = TSFmicroSettings(widths=(16, 16, 16, 16))
  >>> images = jax.ShapeDtypeStruct((4, 2, 112, 112, 3), 'float32')
  >>> inputs, key = {'apex_difference': images}, jax.random.key(0)
  >>> model = TSFmicro(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: TSFmicroSettings = TSFmicroSettings()
  dtype: Any = None

  Settings: ClassVar[type[TSFmicroSettings]] = TSFmicroSettings
  reads: ClassVar[tuple[str, ...]] = ('apex_difference',)
  recommended: ClassVar[Mapping[str, Any]] = RECOMMENDED
  official_names: ClassVar[official.Names] = official.Names(
    (*retention.RULES, (r'^', 'network.')), retention.UNUSED
  )
  feature_layers: ClassVar[str] = 'network/norm'

  @staticmethod
  def check(
    settings: TSFmicroSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from flow_images.check_views(specs, 'position', 1 + settings.position)
    [spec] = specs.values()
    yield (
      'two_phases',
      settings.two_phases == (spec.shape[0] == 3),
      "true with data.inputs=('key_frames',), three views, otherwise false:"
      f' there are {spec.shape[0]}',
    )

  @staticmethod
  def check_channels(
    settings: TSFmicroSettings, channels: Mapping[str, Sequence[Any]]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from check_faces(settings, channels)

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, frames.Frames],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view."""
    settings = self.settings
    [images] = inputs.values()
    images = flow_images.enlarged(images, settings.enlarge)
    if settings.two_phases:
      faces = frames.normalised(images, settings)
      onset, apex, offset = (faces[:, view] for view in range(3))
      phases = [(apex - onset, onset), (apex - offset, offset)]
    elif settings.position:
      motion = frames.normalised_difference(images[:, 0], settings)
      phases = [(motion, frames.normalised(images[:, 1], settings))]
    else:
      phases = [(images[:, 0], None)]
    network = retention.RetentionNet(
      self.num_classes, settings.shape(), self.dtype, name='network'
    )
    logits = [network(motion, face, valid, train) for motion, face in phases]
    return Outputs(jnp.stack(logits, axis=1).mean(axis=1, keepdims=True))
