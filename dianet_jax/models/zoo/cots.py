"""DIANet whose streams are pretrained by contrast between the two phases.

Source: COTS, Lu et al., "COTS: Collaborative Two-Stream Vision-Language
Pre-Training Model for Cross-Modal Retrieval", arXiv 2204.07441.

Stated there, for images and texts: momentum contrast with a queue for each
stream, masked modelling of one stream with the other's feature (visual targets
are codes of a variational auto-encoder), agreement of both streams'
similarities to the queues. Nothing is measured: no code was published, and its
numbers could not be verified. The momentum of .99, the temperature of .07 and
that keys follow the update of the momentum copy are those of BriVL, a system of
the same group, whose queue has 9,600 rows and starts with random vectors; this
one starts empty.

Ours: phases instead of images and texts; hidden cells of the input instead of
hidden tokens, pixels of the cells as targets (`objective.token_target=codes`:
the nearest of k-means centres); equal weights and both directions of the
divergence; the queue, the widths, and the recipe: `COTS.recommended` for
dynamic images, `ON_FLOW` for stored flow images of 28 pixels, whose vectors
cannot be rotated. Crops of 80 to 100 % belong to it, which do not exist here.
Cells are as many as a stream has tokens, so that each token predicts one.
Layers start with Flax's LeCun normal initialisation.

The objective `cross_phase` trains it; every fold is pretrained with its own
training clips. The classifier then has the streams of pretraining; its fusion
and head have had no gradient. AdamW's weight decay has shrunk their kernels,
though, by .3 % with the recommended recipe on 280 clips.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.core import schema
from dianet_jax.models import dianet


def cell_shape(images: Sequence[int], number: int) -> tuple[int, int]:
  """Height and width of the cells that cover images, a cell for each token.

  >>> cell_shape((8, 28, 30, 3), 16)
  (7, 8)

  Args:
    images: shape [..., height, width, channel].
    number: of cells, the square of a whole number; the cells of the last row
      and column may lie partly outside the image.
  """
  rows = math.isqrt(number)
  height, width = images[-3:-1]
  return -(-height // rows), -(-width // rows)


@dataclasses.dataclass(frozen=True)
class COTSSettings(dianet.DIANetSettings):
  """DIANet with heads for pretraining."""

  name: str = 'cots'
  fusion: str = schema.key(
    'cross_attention',
    'A fusion of two phases.',
    schema.one_of('cross_attention', 'concat', 'add', 'gated'),
  )
  projection_width: int = schema.key(
    128, 'Features that are compared between phases. Ours.', schema.at_least(1)
  )


# What differs from `COTS.recommended` on stored flow images of 28 pixels: twice
# as many epochs of pretraining, and no rotation.
ON_FLOW: Mapping[str, Any] = {
  'train.epochs': 230,
  'objective.pretraining': 200 / 230,
  'objective.pretraining_warmup': 5 / 200,
  'train.augment.rotation_degrees': 0.0,
}
# On the 136 clips of SAMM, fewer than the default queue in some folds.
ON_SAMM: Mapping[str, Any] = {'objective.queue': 64}


class COTS(dianet.DIANet):
  """`dianet.DIANet` with heads that only pretraining uses.

  `auxiliary` also holds 'projections' [clip, view, projection_width], and
  'cells' [clip, view, cell, pixel]: each phase's image, predicted from its
  tokens and the mean token of the other phase; see `training.cross_phase`.

  >>> import jax
  >>> settings = COTSSettings(backbone='compact', heads=4)
  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'dynamic_images': images}, jax.random.key(0)
  >>> model = COTS(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.auxiliary['projections'].shape, outputs.auxiliary['cells'].shape
  ((4, 2, 128), (4, 2, 16, 147))
  """

  settings: COTSSettings = COTSSettings()

  Settings: ClassVar[type[COTSSettings]] = COTSSettings
  # What pretraining hands over to the classifier.
  streams: ClassVar[str] = r'backbone(_\d+)?'
  recommended: ClassVar[Mapping[str, Any]] = {
    'objective.name': 'cross_phase',
    'train.epochs': 130,
    'train.batch_size': 32,
    'objective.pretraining': 100 / 130,
    'objective.pretraining_learning_rate': 1e-3 * 32 / 256,
    'objective.pretraining_weight_decay': 0.05,
    'objective.pretraining_warmup': 5 / 100,
    'objective.stream_rate': 0.1,
    'objective.stream_epochs': 10,
    'train.augment.rotation_degrees': 5.0,
  }

  def auxiliary(
    self,
    tokens: Float[Array, 'clip view token feature'],
    images: Float[Array, 'clip view height width channel'],
    valid: Bool[Array, ' clip'] | None,
    train: bool,
  ) -> dict[str, Array]:
    """See `dianet.DIANet.auxiliary`."""
    del valid, train
    _, views, number, width = tokens.shape
    pixels = math.prod(cell_shape(images.shape, number)) * images.shape[-1]
    means = tokens.mean(axis=2)
    projections, cells = [], []
    for view in range(views):

      def dense(width, name, view=view):
        return nn.Dense(width, dtype=self.dtype, name=f'{name}_{view}')

      hidden = nn.relu(dense(width, 'hidden')(means[:, view]))
      projections.append(
        dense(self.settings.projection_width, 'projection')(hidden)
      )
      other = dense(width, 'other_phase')(means[:, (view + 1) % views])
      cells.append(dense(pixels, 'cells')(tokens[:, view] + other[:, None]))
    return {
      'tokens': tokens,
      'projections': jnp.stack(projections, axis=1),
      'cells': jnp.stack(cells, axis=1),
    }
