"""TSFmicro: a retention backbone on apex minus onset, and one on the face.

Source: arXiv 2505.16372 and its code. Stated: two branches, summed late.
Measured: 12,793,003 parameters with five classes, of which 3,590 are unused
there and omitted here; AdamW with a weight decay of 0.6; the learning rate is
multiplied by .987 after each of the first 50 epochs. Ours: the face is reduced
with antialiasing, a cosine schedule, no search for other key frames, and
optical-flow images without a face. The published tables could not be read.
"""

from collections.abc import Iterator, Mapping
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
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
    'Whether that face is reduced with antialiasing. Ours; the code does not.',
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


RECOMMENDED: Mapping[str, Any] = {
  **frames.UNSCALED,
  'train.epochs': 174,
  'train.batch_size': 32,
  'train.learning_rate': 8e-4,
  'train.weight_decay': 0.6,
  'train.class_balance': 'none',
  'train.augment.rotation_degrees': 3.0,
  'train.augment.shift_pixels': 8,
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
    motion = images[:, 0]
    face = None
    if settings.position:
      motion = frames.normalised_difference(motion, settings)
      face = frames.normalised(images[:, 1], settings)
    logits = retention.RetentionNet(
      self.num_classes, settings.shape(), self.dtype, name='network'
    )(motion, face, valid, train)
    return Outputs(logits[:, None])
