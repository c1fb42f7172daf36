"""GAMDSS: one retention backbone for both phases, two predictions.

Source: arXiv 2603.04766 and its code. Stated: key frames are selected again,
two branches share their weights. Measured: both phases lead to the apex (apex
minus onset, apex minus offset); the face is reduced without antialiasing; the
loss uses the logits of both phases, the
prediction those of the first; the training of TSFmicro. Its loss is
`objectives.AuxiliaryHeads`. Ours: both phases may predict (their loss is then
the mean of both, not the sum), flow images without
faces, and what `tsfmicro` lists. The published tables could not be read.
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
from dianet_jax.models.zoo import flow_images, frames, retention, tsfmicro


@dataclasses.dataclass(frozen=True)
class GAMDSSSettings(tsfmicro.RetentionSettings):
  """GAMDSS; without `position` the views are motion images of each phase."""

  name: str = 'gamdss'
  antialias: bool = schema.key(
    False, 'Whether the face is reduced with antialiasing; the code does not.'
  )
  predicts: str = schema.key(
    'first',
    'first: only onset to apex predicts, as in the code; both: the mean of'
    ' their logits (ours).',
    schema.one_of('first', 'both'),
  )


class GAMDSS(nn.Module):
  """Onset, apex and offset -> logits; attributes: see `registry.Model`.

  >>> settings = GAMDSSSettings(widths=(16, 16, 16, 16))
  >>> images = jax.ShapeDtypeStruct((4, 3, 112, 112, 3), 'float32')
  >>> inputs, key = {'key_frames': images}, jax.random.key(0)
  >>> model = GAMDSS(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: GAMDSSSettings = GAMDSSSettings()
  dtype: Any = None

  Settings: ClassVar[type[GAMDSSSettings]] = GAMDSSSettings
  reads: ClassVar[tuple[str, ...]] = ('key_frames',)
  recommended: ClassVar[Mapping[str, Any]] = {
    **tsfmicro.RECOMMENDED,
    'objective.name': 'auxiliary_heads',
    'data.key_frame_search': 0.1,
    'train.epochs': 199,
    'train.batch_size': 16,
  }
  official_names: ClassVar[official.Names] = tsfmicro.TSFmicro.official_names
  feature_layers: ClassVar[str] = tsfmicro.TSFmicro.feature_layers

  @staticmethod
  def check(
    settings: GAMDSSSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from flow_images.check_views(specs, 'position', 2 + settings.position)

  @staticmethod
  def check_channels(
    settings: GAMDSSSettings, channels: Mapping[str, Sequence[Any]]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from tsfmicro.check_faces(settings, channels)

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, frames.Frames],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view, in training two with predicts='both'.

    `auxiliary` holds the 'logits' [clip, head, class] that are trained but do
    not predict; with predicts='both' there are no such heads.
    """
    settings = self.settings
    [images] = inputs.values()
    images = flow_images.enlarged(images, settings.enlarge)
    if settings.position:
      faces = frames.normalised(images, settings)
      onset, apex, offset = (faces[:, view] for view in range(3))
      phases = [(apex - onset, onset), (apex - offset, apex)]
    else:
      phases = [(images[:, view], None) for view in range(2)]
    network = retention.RetentionNet(
      self.num_classes, settings.shape(), self.dtype, name='network'
    )
    first, second = (
      network(motion, face, valid, train)[:, None] for motion, face in phases
    )
    if settings.predicts == 'first':
      return Outputs(first, {'logits': second})
    both = jnp.concatenate([first, second], axis=1)
    if not train:
      both = both.mean(axis=1, keepdims=True)
    return Outputs(both, {'logits': second[:, :0]})
