"""DIANet: one CNN a phase, fused by cross-attention.

Source: Khuong et al., arXiv 2510.12219. Stated there: two phase-aware dynamic
images, a dedicated CNN each, cross-attention. All else is ours.
"""

from collections.abc import Mapping, Sequence
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from dianet_jax.models import fusions as fusions
from dianet_jax.models.backbones.compact import Compact
from dianet_jax.models.backbones.resnet import ResNet18

BACKBONES: Mapping[str, type[nn.Module]] = {
  'resnet18': ResNet18,
  'compact': Compact,
}


def feature_width(backbone: str, widths: Sequence[int] = ()) -> int:
  """Channels of a backbone's feature map; no widths are its own."""
  return (widths or BACKBONES[backbone].widths)[-1]


def _hide_a_phase(
  key: Key[Array, ''],
  tokens: Sequence[Float[Array, 'clip token feature']],
  probability: float,
) -> list[Float[Array, 'clip token feature']]:
  """Sets one phase of a clip to 0 with `probability`; never more than one.

  Source: ModDrop, Neverova et al., "ModDrop: Adaptive Multi-Modal Gesture
  Recognition", TPAMI 2016. There every modality is dropped by itself, so that
  all may be gone; here one phase at least is left.
  """
  hide_key, which_key = jax.random.split(key)
  clips = tokens[0].shape[0]
  hidden = jax.random.bernoulli(hide_key, probability, (clips,))
  which = jax.random.randint(which_key, (clips,), 0, len(tokens))
  return [
    jnp.where((hidden & (which == phase))[:, None, None], 0, phase_tokens)
    for phase, phase_tokens in enumerate(tokens)
  ]


class DIANet(nn.Module):
  """Phase images -> logits.

  Attributes:
    num_classes: width of the logits.
    backbone: a key of `BACKBONES`.
    widths: channels of the backbone's stages; () for its own.
    fusion: a key of `fusion.FUSIONS`.
    share_backbone: one set of weights for all phases.
    pool: 'mean' or 'flatten', see `fusion`.
    heads: attention heads.
    dropout: share of the fused features dropped when training.
    phase_dropout: probability that a clip's fusion sees one phase less when
      training; when predicting nothing is hidden. No effect where a fusion
      sees one phase.
    dtype: of the computation; parameters and logits are float32.
  """

  num_classes: int
  backbone: str = 'resnet18'
  widths: tuple[int, ...] = ()
  fusion: str = 'cross_attention'
  share_backbone: bool = False
  pool: str = 'mean'
  heads: int = 4
  dropout: float = 0.0
  phase_dropout: float = 0.0
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    phase_images: Float[Array, 'clip phase height width channel'],
    valid: Bool[Array, ' clip'] | None = None,
  ) -> Float[Array, 'clip class_'] | Float[Array, 'clip phase class_']:
    """Logits of every clip; with `each_phase`, of every phase image.

    Args:
      phase_images: scaled phase images.
      valid: which clips are not padding, when training; None when predicting.

    Returns:
      float32 [clip, class] or [clip, phase, class].
    """
    tokens = self._tokens(phase_images, valid)
    one_by_one = self.fusion == 'each_phase' or len(tokens) == 1
    if self.phase_dropout and valid is not None and not one_by_one:
      key = self.make_rng('dropout')
      tokens = _hide_a_phase(key, tokens, self.phase_dropout)
    fused = fusions.FUSIONS[self.fusion](
      pool=self.pool, heads=self.heads, dtype=self.dtype, name='fusion'
    )(tokens)
    if self.fusion != 'each_phase':
      fused = fused[:, 0]
    fused = nn.Dropout(self.dropout, deterministic=valid is None)(fused)
    return nn.Dense(self.num_classes, name='classifier')(
      fused.astype(jnp.promote_types(fused.dtype, jnp.float32))
    )

  def _tokens(
    self,
    phase_images: Float[Array, 'clip phase height width channel'],
    valid: Bool[Array, ' clip'] | None,
  ) -> list[Float[Array, 'clip token feature']]:
    """The feature maps of the phases that the fusion reads, as tokens."""
    options = {'widths': self.widths} if self.widths else {}
    make = functools.partial(
      BACKBONES[self.backbone], dtype=self.dtype, **options
    )
    phases = phase_images.shape[1]
    if self.fusion == 'each_phase':
      # One batch: its statistics are those of all phase images.
      images = phase_images.reshape(-1, *phase_images.shape[2:])
      mask = None if valid is None else jnp.repeat(valid, phases)
      features = make(name='backbone')(images, mask, valid is not None)
      features = features.reshape(
        -1, phases, features.shape[1] * features.shape[2], features.shape[3]
      )
      return [features[:, phase] for phase in range(phases)]
    shared = make(name='backbone')
    tokens = []
    for phase in range(phases):
      backbone = (
        shared if self.share_backbone else make(name=f'backbone_{phase}')
      )
      features = backbone(phase_images[:, phase], valid, valid is not None)
      tokens.append(features.reshape(features.shape[0], -1, features.shape[-1]))
    return tokens
