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

What can be looked into says where, for `explanation.maps`, by regular
expressions of the paths of modules, '/' between their names:

    feature_layers: str                   what returns maps of the face, [...,
                                          row, column, feature], maybe first of
                                          a tuple, and few steps from the logits
    attention_layers: tuple[str, ...]     attention whose keys lie on the face;
                                          several layers of one expression are a
                                          stack over the same tokens

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
    logits: float32 [clip, view, class]. A clip's predicted probabilities are
      the mean of the softmax over its views.
    auxiliary: name -> array, clips leading, for objectives: logits of heads
      that are trained but do not predict, features, projections.
  """

  logits: Float[Array, 'clip view class_']
  auxiliary: Mapping[str, Array] = flax.struct.field(default_factory=dict)


class Model(Protocol):
  """What the trainer asks of a Linen module.

  >>> model = MODELS['offapexnet'](3, MODELS['offapexnet'].Settings())
  >>> x = jax.ShapeDtypeStruct((4, 1, 28, 28, 3), 'float32')
  >>> inputs = {'phase_flow': x}
  >>> key = jax.random.key(0)
  >>> outputs, variables = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  >>> sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
  2664475
  """

  reads: ClassVar[tuple[str, ...]]
  Settings: ClassVar[type[config.Model]]
  recommended: ClassVar[Mapping[str, Any]]
  num_classes: int
  dtype: Any

  def __init__(self, num_classes: int, settings: Any, dtype: Any = None): ...

  @property
  def settings(self) -> config.Model:
    """An instance of `Settings`."""
    ...

  @staticmethod
  def check(
    settings: Any, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """Checks settings that depend on the inputs.

    Args:
      settings: an instance of `Settings`.
      specs: name of `reads` -> shape, without the clip axis, and dtype.

    Yields:
      Key of the settings, whether its value is valid, and what is expected.
    """
    ...

  def init(self, key: Any, *arguments: Any) -> Mapping[str, Any]:
    """Linen's: variables of the untrained model; arguments as for a call."""
    ...

  def apply(self, variables: Any, *arguments: Any, **options: Any) -> Any:
    """Linen's: the result of a call with these variables."""
    ...

  def __call__(
    self,
    inputs: Mapping[str, Array],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """Logits, and what objectives read besides.

    Args:
      inputs: name of `reads` -> float array, clips leading.
      valid: False for padded clips; None if there are none. Padded clips must
        not enter any statistic over clips.
      train: whether dropout is active and normalisation uses, and updates its
        running averages with, the statistics of this batch.

    Returns:
      float32 logits [clip, view, class] and auxiliary arrays.
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
    'cots': 'dianet_jax.models.zoo.cots:COTS',
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
