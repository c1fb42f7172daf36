"""A ResNet-18 over frames with temporal shift and the slow-fast TCM.

Source: arXiv 2202.12116 and its code, which recognise actions with a ResNet-50.
Stated: the module after the second stage, a temporal shift in every block, the
mean of the frames' logits, 8 frames, one of each segment at random in training.
Measured: SGD with Nesterov momentum, learning rate .01, a tenth at epochs 30,
40 and 45 of 50. Ours: ResNet-18, AdamW, the mean of the features before dropout
instead of the logits', other positions of the module, and four frames at equal
steps of each phase on their own, so that slow motion starts at onset and apex;
with data.sampling.span=clip and spans=1 they are those of the whole clip.
"""

from collections.abc import Iterator, Mapping
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from dianet_jax.core import schema
from dianet_jax.models import layers
from dianet_jax.models.backbones.resnet import BasicBlock
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import frames, tcm


@dataclasses.dataclass(frozen=True)
class TCMNetSettings(frames.Settings):
  """Slow-fast TCM."""

  name: str = 'slow_fast_tcm'
  widths: tuple[int, ...] = schema.key(
    (64, 128, 256, 512),
    'Features of each stage.',
    schema.Check(
      lambda widths: widths and min(widths) >= 8, 'widths of at least 8'
    ),
  )
  spans: int = schema.key(
    1,
    'Equal parts of the frames, each read separately from its first frame on: 1'
    ' for the clip, 2 with data.sampling.span=phases. Ours.',
    schema.at_least(1),
  )
  tcm_after: int = schema.key(
    2,
    'The stage after which motion is estimated; 0: the stem, for motion of less'
    ' than one position of a later map. Ours.',
    schema.at_least(0),
  )
  patch: int = schema.key(
    15,
    'Search range, positions: 15 on maps from 14 x 14 on; smaller maps: 7, 3.',
    schema.Check(lambda p: p >= 3 and p % 2 == 1, 'an odd number from 3 on'),
  )
  dropout: float = schema.key(
    0.5, 'Dropout rate before the classifier.', schema.BELOW_ONE
  )


class TCMNet(nn.Module):
  """Frames -> logits; attributes: see `registry.Model`.

  >>> settings = TCMNetSettings(widths=(8, 8))
  >>> images = jax.ShapeDtypeStruct((4, 16, 112, 112, 3), 'float32')
  >>> inputs, key = {'sampled_frames': images}, jax.random.key(0)
  >>> model = TCMNet(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: TCMNetSettings = TCMNetSettings()
  dtype: Any = None

  Settings: ClassVar[type[TCMNetSettings]] = TCMNetSettings
  reads: ClassVar[tuple[str, ...]] = ('sampled_frames',)
  recommended: ClassVar[Mapping[str, Any]] = {
    **frames.UNSCALED,
    'data.sampling.frames': 4,
    'data.sampling.span': 'phases',
    'model.spans': 2,
    'train.epochs': 50,
    'train.batch_size': 16,
    'objective.label_smoothing': 0.0,
  }

  @property
  def feature_layers(self) -> str:
    """The last block."""
    return f'stage_{len(self.settings.widths)}_1'

  @staticmethod
  def check(
    settings: TCMNetSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    [spec] = specs.values()
    number = spec.shape[0]
    yield (
      'spans',
      number % settings.spans == 0 and number // settings.spans >= 2,
      f'a divisor of {number} frames that leaves at least two in each part',
    )
    yield (
      'tcm_after',
      settings.tcm_after <= len(settings.widths),
      f'0 to {len(settings.widths)}, the number of stages',
    )

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, frames.Frames],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view."""
    s = self.settings
    [x] = inputs.values()
    x = frames.normalised(x, s)
    # Each span is treated as a clip.
    x = x.reshape(len(x) * s.spans, -1, *x.shape[2:])
    mask = None if valid is None else jnp.repeat(valid, s.spans)
    x = layers.Conv(
      s.widths[0],
      (7, 7),
      2,
      3,
      use_bias=False,
      dtype=self.dtype,
      name='stem',
    )(x)
    x = nn.relu(layers.BatchNorm(self.dtype, name='norm')(x, mask, train))
    x = layers.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    for stage, width in enumerate((0, *s.widths)):
      for block in range(2 if stage else 0):
        stride = 2 if stage > 1 and not block else 1
        x = BasicBlock(
          width, stride, self.dtype, shifted=True, name=f'stage_{stage}_{block}'
        )(x, mask, train)
      if stage == s.tcm_after:
        reduced = min(64, x.shape[-1])
        module = tcm.SlowFastTCM(s.patch, reduced, self.dtype, name='tcm')
        x = module(x, mask, train)
    x = x.mean(axis=(1, 2, 3)).reshape(-1, s.spans, x.shape[-1]).mean(axis=1)
    x = nn.Dropout(s.dropout, deterministic=not train)(x)
    logits = nn.Dense(self.num_classes, name='classifier')(layers.widened(x))
    return Outputs(logits[:, None])
