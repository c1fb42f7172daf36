"""DIANet: one CNN a phase, fused by cross-attention.

Source: Khuong et al., arXiv 2510.12219. Stated there: two phase-aware dynamic
images, a dedicated CNN each, cross-attention. All else is ours.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.models import fusion as fusions
from dianet_jax.models.compact import Compact
from dianet_jax.models.resnet import ResNet18

BACKBONES: Mapping[str, type[nn.Module]] = {
  'resnet18': ResNet18,
  'compact': Compact,
}

# Width of their feature maps.
FEATURES: Mapping[str, int] = {'resnet18': 512, 'compact': 48}


class DIANet(nn.Module):
  """Phase images -> logits.

  Attributes:
    num_classes: width of the logits.
    backbone: a key of `BACKBONES`.
    fusion: a key of `fusion.FUSIONS`.
    share_backbone: one set of weights for all phases.
    pool: 'mean' or 'flatten', see `fusion`.
    heads: attention heads.
    dropout: share of the fused features dropped when training.
    dtype: of the computation; parameters and logits are float32.
  """

  num_classes: int
  backbone: str = 'resnet18'
  fusion: str = 'cross_attention'
  share_backbone: bool = False
  pool: str = 'mean'
  heads: int = 4
  dropout: float = 0.0
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    phase_images: Float[Array, 'clip phase height width channel'],
    valid: Bool[Array, ' clip'] | None = None,
  ) -> Float[Array, 'clip class_']:
    """Logits of every clip.

    Args:
      phase_images: scaled phase images.
      valid: which clips are not padding, when training; None when predicting.

    Returns:
      float32 [clip, class].
    """
    make = BACKBONES[self.backbone]
    used = fusions.SELECTED.get(self.fusion, range(phase_images.shape[1]))
    shared = make(dtype=self.dtype, name='backbone')
    tokens = []
    for phase in used:
      if self.share_backbone:
        backbone = shared
      else:
        backbone = make(dtype=self.dtype, name=f'backbone_{phase}')
      features = backbone(phase_images[:, phase], valid)
      tokens.append(features.reshape(features.shape[0], -1, features.shape[-1]))
    fused = fusions.FUSIONS[self.fusion](
      pool=self.pool, heads=self.heads, dtype=self.dtype, name='fusion'
    )(tokens)
    fused = nn.Dropout(self.dropout, deterministic=valid is None)(fused)
    return nn.Dense(self.num_classes, name='classifier')(
      fused.astype(jnp.float32)
    )
