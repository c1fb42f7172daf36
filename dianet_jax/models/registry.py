"""Models: one file and one row each.

A model is a Linen module with the attributes `num_classes`, `settings` and
`dtype`, and

    reads: ClassVar[tuple[str, ...]]      names of its inputs: representations
    Settings: ClassVar[type]              frozen dataclass, a core.config.Model;
                                          its keys appear under config.model
    recommended: ClassVar[Mapping]        'train.epochs': 800, ...: what its
                                          authors train it with
    check(settings, specs)                yields (key, holds, expected) for
                                          what its inputs must be; `specs` maps
                                          input -> ShapeDtypeStruct, no clips
    __call__(inputs, valid, train) -> Outputs

and, where others have published one, `official_names`: what its authors call
its entries, by which `models.official` loads their weights; or, where they have
published a part of it alone, the method `official_parts() -> dict`: pattern of
the names of its modules -> what others call the entries of each.

>>> MODELS['ststnet'].reads
('phase_flow',)
>>> MODELS['ststnet'].Settings().name
'ststnet'
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

import flax.struct
import jax
from jaxtyping import Array, Bool, Float

from dianet_jax.core import config, registry


@flax.struct.dataclass
class Outputs:
  """What every model returns.

  Attributes:
    logits: float32 [clip, view, class]. A view is one prediction of the clip
      that counts; a clip's probabilities are the mean over its views.
    auxiliary: name -> array, clips leading: heads that are trained and do not
      predict, features, projections. Objectives read them.
  """

  logits: Float[Array, 'clip view class_']
  auxiliary: Mapping[str, Array] = flax.struct.field(default_factory=dict)


class Model(Protocol):
  """What the trainer asks of a Linen module."""

  reads: ClassVar[tuple[str, ...]]
  Settings: ClassVar[type[config.Model]]
  recommended: ClassVar[Mapping[str, Any]]
  num_classes: int
  dtype: Any

  def __init__(self, num_classes: int, settings: Any, dtype: Any = None): ...

  @property
  def settings(self) -> config.Model:
    """Of the class `Settings`."""
    ...

  @staticmethod
  def check(
    settings: Any, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """Yields (key of the settings, whether it holds, what is expected)."""
    ...

  def init(self, key: Any, *arguments: Any) -> Mapping[str, Any]:
    """Linen's: variables of the untrained model; arguments as of a call."""
    ...

  def apply(self, variables: Any, *arguments: Any, **options: Any) -> Any:
    """Linen's: what a call with these variables returns."""
    ...

  def __call__(
    self,
    inputs: Mapping[str, Array],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """Predicts.

    Args:
      inputs: name of `reads` -> array, clips leading.
      valid: which clips are no padding; None for all of them. What padding
        holds must reach no statistic over clips.
      train: whether dropout acts and batch statistics are used and updated.
    """
    ...


MODELS: registry.Registry[type[Model]] = registry.Registry(
  'model',
  'model.name',
  {
    'dianet': 'dianet_jax.models.dianet:DIANet',
    'biovilt': 'dianet_jax.models.zoo.fused:BioViLT',
    'gban': 'dianet_jax.models.zoo.fused:GBAN',
    'causal': 'dianet_jax.models.zoo.fused:Causal',
    'ststnet': 'dianet_jax.models.zoo.ststnet:STSTNet',
    'offapexnet': 'dianet_jax.models.zoo.offapexnet:OffApexNet',
    'htnet': 'dianet_jax.models.zoo.htnet:HTNet',
    'causalnet': 'dianet_jax.models.zoo.causalnet:CausalNet',
    'fmanet': 'dianet_jax.models.zoo.fmanet:FMANet',
    'skd_tstsan': 'dianet_jax.models.zoo.skd_tstsan:SKDTSTSAN',
    'skd_tstsan_t': 'dianet_jax.models.zoo.skd_tstsan:SKDTSTSANFlow',
    'slstt': 'dianet_jax.models.zoo.slstt:SLSTT',
    'tsfmicro': 'dianet_jax.models.zoo.tsfmicro:TSFmicro',
    'gamdss': 'dianet_jax.models.zoo.gamdss:GAMDSS',
    'atm_gcn': 'dianet_jax.models.zoo.atm_gcn:ATMGCN',
    'slow_fast_tcm': 'dianet_jax.models.zoo.slow_fast_tcm:TCMNet',
  },
)
