"""DIANet: one CNN for each view, fused by cross-attention.

Source: Khuong et al., arXiv 2510.12219. Stated there: two phase-aware dynamic
images, a dedicated CNN each, cross-attention. All else is ours.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import functools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.core import config, schema
from dianet_jax.models import fusions, official
from dianet_jax.models import views as views_lib
from dianet_jax.models.backbones.compact import Compact
from dianet_jax.models.backbones.resnet import ResNet18
from dianet_jax.models.registry import Outputs, mean_of

BACKBONES: Mapping[str, type[ResNet18] | type[Compact]] = {
  'resnet18': ResNet18,
  'compact': Compact,
}

# The phase of `core.config.PHASES` that is the whole clip.
_WHOLE = 'onset_offset'


@dataclasses.dataclass(frozen=True)
class DIANetSettings(config.Model):
  """DIANet, and other fusions to compare it with."""

  name: str = 'dianet'
  backbone: str = schema.key(
    'resnet18',
    'resnet18, or compact for small images. The paper states one CNN for each'
    ' phase; which one is ours.',
    schema.one_of(*BACKBONES),
  )
  widths: tuple[int, ...] = schema.key(
    (),
    "Channels of each stage; () = the backbone's default: (64, 128, 256, 512)"
    ' for resnet18, (16, 32, 48) for compact. Ours.',
    schema.Check(
      lambda widths: all(width >= 1 for width in widths), 'widths of at least 1'
    ),
  )
  fusion: str = schema.key(
    'cross_attention',
    'cross_attention (stated), concat, add, gated, adaptive (2510.09730),'
    ' each_phase (every image is a separate training sample, 2510.15466; needs'
    ' share_backbone), biovilt (2301.04558), gban (2201.06309), causal'
    ' (2508.06640).',
    schema.one_of(*fusions.FUSIONS),
  )
  gate: str = schema.key(
    'channel',
    'adaptive, what has a learned weight: channel (by a gate that depends on'
    ' the clip), or image (the same for all clips). Ours.',
    schema.one_of(*fusions.GATES),
  )
  phase_sampling: str = schema.key(
    'all',
    'each_phase, the images of a clip in a training step: all, or random_one,'
    ' drawn with equal odds from those that the clip has. Ours.',
    schema.one_of('all', 'random_one'),
  )
  predicts: str = schema.key(
    '',
    'each_phase, what predicts: whole (the image of the whole clip), or mean'
    " (of the logits of the clip's images); '' = whole if data.phases has"
    ' onset_offset, otherwise mean. Ours.',
    schema.one_of('', 'whole', 'mean'),
  )
  share_backbone: bool = schema.key(False, 'One set of weights for all phases.')
  pool: str = schema.key(
    'mean',
    'How tokens become a vector: mean, or flatten, which keeps their positions.'
    ' Ours.',
    schema.one_of(*fusions.POOLS),
  )
  heads: int = schema.key(
    4,
    'Attention heads, a divisor of the last width (512; compact: 48). Ours.',
    schema.at_least(1),
  )
  dropout: float = schema.key(
    0.5,
    'Dropout rate of the fused features. Ours.',
    schema.BELOW_ONE,
  )
  phase_dropout: float = schema.key(
    0.0,
    'Probability that one phase of a clip is hidden from the fusion in'
    ' training (Neverova et al., ModDrop, 2016). With fusion=biovilt and 0,'
    ' only clips that lack a phase train the vector that replaces it: none do,'
    ' if all have both. Ours.',
    schema.BELOW_ONE,
  )
  projection_width: int = schema.key(
    0,
    "Features of each phase for objective.name=phase_contrast: BioViL-T's"
    ' projector, then the mean over tokens; there 128. 0 = none.',
    schema.at_least(0),
  )

  @property
  def feature_width(self) -> int:
    """Channels of the backbone's feature map."""
    return (self.widths or BACKBONES[self.backbone].widths)[-1]


class DIANet(nn.Module):
  """Images of the phases -> logits.

  >>> settings = DIANetSettings(backbone='compact', widths=(8,), heads=2)
  >>> model = DIANet(num_classes=5, settings=settings)
  >>> inputs = {'dynamic_images': jnp.zeros((3, 2, 16, 16, 1))}
  >>> key = jax.random.key(0)
  >>> outputs, variables = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape, outputs.auxiliary['tokens'].shape
  ((3, 1, 5), (3, 2, 64, 8))
  >>> sorted(variables['params'])
  ['backbone_0', 'backbone_1', 'classifier', 'fusion']

  Attributes:
    num_classes: width of the logits.
    settings: see `DIANetSettings`.
    dtype: computation dtype; parameters and logits are float32.
    phases: the phase that each view shows; () if views are not of phases.
  """

  num_classes: int
  settings: DIANetSettings = DIANetSettings()
  dtype: Any = None
  phases: tuple[str, ...] = ()

  Settings: ClassVar[type[config.Model]] = DIANetSettings
  reads: ClassVar[tuple[str, ...]] = ('dynamic_images',)
  recommended: ClassVar[Mapping[str, Any]] = {}
  knows_phases: ClassVar[bool] = True
  feature_layers: ClassVar[str] = r'backbone(_\d+)?'
  attention_layers: ClassVar[tuple[str, ...]] = (
    'fusion/first_attention',
    'fusion/second_attention',
  )

  @staticmethod
  def check(
    settings: DIANetSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    width = settings.feature_width
    yield (
      'heads',
      width % settings.heads == 0,
      f'a divisor of {width}, the features of {settings.backbone}',
    )
    [spec] = specs.values()
    wanted = fusions.FUSIONS[settings.fusion].views
    yield (
      'fusion',
      wanted in (None, spec.shape[0]),
      f'concat, add or each_phase with {spec.shape[0]} view(s), by data.phases'
      f' and data.frame_order, as {settings.fusion} takes {wanted}',
    )
    yield (
      'gate',
      settings.gate == 'channel' or settings.fusion == 'adaptive',
      f'channel with --config.model.fusion={settings.fusion}',
    )
    yield (
      'share_backbone',
      settings.share_backbone or settings.fusion != 'each_phase',
      'true with --config.model.fusion=each_phase: one network sees all phases',
    )
    for key, off in (('phase_sampling', 'all'), ('predicts', '')):
      yield (
        key,
        settings.fusion == 'each_phase' or getattr(settings, key) == off,
        f'{off!r} with --config.model.fusion={settings.fusion}',
      )

  @staticmethod
  def check_phases(
    settings: DIANetSettings, phases: Sequence[str]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield (
      'predicts',
      settings.predicts != 'whole' or _WHOLE in phases,
      f'mean, or {_WHOLE!r} in data.phases, for views that are of phases',
    )

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Float[Array, 'clip view height width channel']],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """Logits of every clip; in training with `each_phase`, of every view.

    Args:
      inputs: one entry, float images scaled as `data.scaling` says; a view for
        each phase. An image without any motion marks a phase that the clip
        lacks.
      valid: False for padded clips; None if there are none.
      train: see `registry.Model`.

    Returns:
      Logits float32 [clip, 1, class]. In training with `each_phase`, those of
      the views of this step [clip, view, class], and `present`. `auxiliary`
      holds the backbones' 'tokens' [clip, view, token, feature] and, with
      `projection_width`, 'projections' [clip, view, feature], unless a step has
      only one of the views.
    """
    [images] = inputs.values()
    settings, has = self.settings, views_lib.present(images)
    each = settings.fusion == 'each_phase'
    one = each and settings.phase_sampling == 'random_one'
    if one and train:
      drawn = views_lib.drawn(self.make_rng('dropout'), has)[:, None]
      has = jnp.take_along_axis(has, drawn, axis=1)
      drawn = drawn[..., None, None, None]
      images = jnp.take_along_axis(images, drawn, axis=1)
    tokens = self._tokens(images, has, valid, train)
    fused = self._fuse(
      self.fused_tokens(tokens, images, valid, train), has, train
    )
    fused = nn.Dropout(settings.dropout, deterministic=not train)(fused)
    logits = nn.Dense(self.num_classes, name='classifier')(
      fused.astype(jnp.promote_types(fused.dtype, jnp.float32))
    )
    auxiliary = {}
    if not one:
      stacked = jnp.stack(tokens, axis=1)
      auxiliary = self.auxiliary(stacked, images, valid, train)
    if each and train:
      return Outputs(logits, auxiliary, has)
    if each:
      logits = mean_of(logits, self._predicting(has))[:, None]
    return Outputs(logits, auxiliary)

  def _predicting(
    self, has: Bool[Array, 'clip view']
  ) -> Bool[Array, 'clip view']:
    """The views of each clip whose mean logits predict it; at least one.

    Without an image of the whole clip, its other images predict a clip. Without
    any, all do, as their logits are the same.
    """
    views = has | ~has.any(axis=1, keepdims=True)
    predicts = self.settings.predicts
    if predicts == 'mean' or (not predicts and _WHOLE not in self.phases):
      return views
    assert _WHOLE in self.phases, 'see `check_phases`'
    whole = views & jnp.array([phase == _WHOLE for phase in self.phases])
    return jnp.where(whole.any(axis=1, keepdims=True), whole, views)

  def official_parts(self) -> dict[str, official.Names]:
    """See `registry.Model`: every backbone, where others publish such."""
    if self.settings.backbone != 'resnet18':
      return {}
    return {r'backbone(_\d+)?': ResNet18.official_names}

  def auxiliary(
    self,
    tokens: Float[Array, 'clip view token feature'],
    images: Float[Array, 'clip view height width channel'],
    valid: Bool[Array, ' clip'] | None,
    train: bool,
  ) -> dict[str, Array]:
    """Outputs for objectives, besides the logits."""
    del images
    settings = self.settings
    if not settings.projection_width:
      return {'tokens': tokens}
    make = functools.partial(
      fusions.Projector, settings.projection_width, self.dtype
    )
    shared, projections = make(name='projector'), []
    for view in range(tokens.shape[1]):
      own = make(name=f'projector_{view}')
      projector = shared if settings.share_backbone else own
      projections.append(projector(tokens[:, view], valid, train))
    return {'tokens': tokens, 'projections': jnp.stack(projections, axis=1)}

  def fused_tokens(
    self,
    tokens: Sequence[fusions.Tokens],
    images: Float[Array, 'clip view height width channel'],
    valid: Bool[Array, ' clip'] | None,
    train: bool,
  ) -> Sequence[fusions.Tokens]:
    """The tokens of each view that the fusion reads: the backbones'."""
    del images, valid, train
    return tokens

  def backbone(self, name: str) -> nn.Module:
    """A backbone of the settings."""
    settings = self.settings
    options = {'widths': settings.widths} if settings.widths else {}
    make = functools.partial(
      BACKBONES[settings.backbone], dtype=self.dtype, **options
    )
    return make(name=name)

  def fusion_options(self) -> dict[str, Any]:
    """Attributes of the fusion, besides those that all fusions share."""
    adaptive = self.settings.fusion == 'adaptive'
    return {'gate': self.settings.gate} if adaptive else {}

  def _fuse(
    self,
    tokens: Sequence[Float[Array, 'clip token feature']],
    has: Bool[Array, 'clip view'],
    train: bool,
  ) -> Float[Array, 'clip fused_view fused']:
    """Feature vectors of each clip; one view, or all with `each_phase`."""
    settings, views = self.settings, len(tokens)
    fusion = fusions.FUSIONS[settings.fusion](
      pool=settings.pool,
      heads=settings.heads,
      dtype=self.dtype,
      name='fusion',
      **self.fusion_options(),
    )
    hidden = jnp.zeros(has.shape, bool)
    one_by_one = settings.fusion == 'each_phase' or views == 1
    if settings.phase_dropout and train and not one_by_one:
      key = self.make_rng('dropout')
      hidden = views_lib.hidden(key, len(has), views, settings.phase_dropout)
      # At least one view remains.
      hidden &= has.all(axis=1, keepdims=True)
    if fusion.knows_missing:
      return fusion(tokens, has & ~hidden, train)
    return fusion(
      [
        jnp.where(hidden[:, view, None, None], 0, view_tokens)
        for view, view_tokens in enumerate(tokens)
      ]
    )

  def _tokens(
    self,
    images: Float[Array, 'clip view height width channel'],
    has: Bool[Array, 'clip view'],
    valid: Bool[Array, ' clip'] | None,
    train: bool,
  ) -> list[Float[Array, 'clip token feature']]:
    """The feature map of each view, as tokens."""
    settings, (clips, views) = self.settings, images.shape[:2]
    if settings.fusion == 'each_phase':
      # One batch: its statistics are those of all images that there are.
      counted = has if valid is None else has & valid[:, None]
      features = self.backbone('backbone')(
        images.reshape(-1, *images.shape[2:]), counted.reshape(-1), train
      )
      features = features.reshape(clips, views, -1, features.shape[-1])
      return [features[:, view] for view in range(views)]
    shared, tokens = self.backbone('backbone'), []
    for view in range(views):
      own = self.backbone(f'backbone_{view}')
      backbone = shared if settings.share_backbone else own
      features = backbone(images[:, view], valid, train)
      tokens.append(features.reshape(clips, -1, features.shape[-1]))
    return tokens
