"""Registry of models; each model is one file and one row.

A model is a Linen module with the attributes `num_classes`, `settings` and
`dtype`, and

    reads: ClassVar[tuple[str, ...]]      names of its inputs, which are
                                          representations
    Settings: ClassVar[type]              frozen dataclass, a core.config.Model;
                                          its keys appear under config.model
    recommended: ClassVar[Mapping]        training settings of its authors, such
                                          as {'train.epochs': 800}
    check(settings, specs)                yields (key, valid, expected) for
                                          settings that depend on the inputs;
                                          `specs` maps each input to its
                                          ShapeDtypeStruct without clip axis
    __call__(inputs, valid, train) -> Outputs

If what its inputs mean matters, too, `check_channels(settings, channels)`
yields the same for their channels; `channels` maps each input to its
`motion.registry.Channel`s.

If its authors have published weights, `official_names` has the names of their
entries, and `models.official` loads them. If there are several kinds of files,
the method `names_in(entries) -> Names` returns the names of one file, and
`settings_for(entries) -> str` says which settings it needs, for the message
about a file that does not fit; `entries` maps names in the file to arrays. If
only a part of it was published, the method `official_parts() -> dict` maps
patterns of module names to the names of the entries of each.

A model may have one part that is not trained, such as a pretrained encoder. Its
outputs for all clips, the features, are then computed once, and folds train the
rest on them, see `experiments.frozen`:

    frozen_part(settings) -> str          name of its module; '' if all is
                                          trained; a static method
    features(variables, inputs) -> dict   name of each feature -> array, clips
                                          leading; `variables` are those of the
                                          part, with the name of its module

`__call__` then also accepts features as its inputs, and initialises no variable
of the part for them. A clip's features do not depend on other clips.

For an objective that pretrains, a model may declare

    streams: str                          regular expression of the first names
                                          of the parameters that are pretrained

A model that treats phases differently declares

    knows_phases: ClassVar[bool]          True
    phases                                attribute: the phase that each view of
                                          its inputs shows; () if views are not
                                          of phases
    check_phases(settings, phases)        like `check`

For `explanation.maps`, a model may declare layers by regular expressions of
module paths (names joined by '/'):

    feature_layers: str                   layers close to the logits that return
                                          feature maps of the face, [..., row,
                                          column, feature], perhaps as the first
                                          element of a tuple
    attention_layers: tuple[str, ...]     attention layers whose keys are
                                          positions of the face; all layers that
                                          match one expression form a stack over
                                          the same tokens

>>> MODELS['ststnet'].reads
('phase_flow',)
>>> MODELS['ststnet'].Settings().name
'ststnet'
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.core import config, registry


@flax.struct.dataclass
class Outputs:
  """Output of a model.

  Attributes:
    logits: float32 [clip, view, class].
    auxiliary: name -> array, clips leading, for objectives: logits of heads
      that are trained but do not predict, features, projections.
    present: which views a clip has; only these are trained. None for all.
  """

  logits: Float[Array, 'clip view class_']
  auxiliary: Mapping[str, Array] = flax.struct.field(default_factory=dict)
  present: Bool[Array, 'clip view'] | None = None

  def probabilities(self) -> Float[Array, 'clip class_']:
    """Class probabilities of clips: softmax, then the mean over their views.

    >>> logits = jnp.log(jnp.array([[[0.25, 0.75], [0.75, 0.25]]]))
    >>> Outputs(logits).probabilities().round(4).tolist()
    [[0.5, 0.5]]
    """
    probs = jax.nn.softmax(self.logits)
    if self.present is None:
      return probs.mean(axis=1)
    return mean_of(probs, self.present)


def mean_of(
  values: Float[Array, 'clip view ...'], views: Bool[Array, 'clip view']
) -> Float[Array, 'clip ...']:
  """Mean over some views of each clip; 0 if there are none.

  >>> values = jnp.array([[1.0, 3.0, 9.0], [5.0, 5.0, 5.0]])
  >>> views = jnp.array([[True, True, False], [False, False, False]])
  >>> mean_of(values, views).tolist()
  [2.0, 0.0]

  Args:
    values: of each view.
    views: which of them count; the values of others may be NaN.
  """
  counted = views.reshape(views.shape + (1,) * (values.ndim - views.ndim))
  total = jnp.where(counted, values, 0).sum(axis=1)
  return total / jnp.maximum(counted.sum(axis=1), 1)


class Model(Protocol):
  """Interface of a model, a Linen module.

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
    """Initialises the variables; arguments as for a call. See Linen."""
    ...

  def apply(self, variables: Any, *arguments: Any, **options: Any) -> Any:
    """Calls the model with these variables. See Linen."""
    ...

  def __call__(
    self,
    inputs: Mapping[str, Array],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """Computes logits and auxiliary outputs.

    Args:
      inputs: name of `reads` -> float array, clips leading; or features.
      valid: False for padded clips; None if there are none. Padded clips must
        not affect any statistic over clips.
      train: whether dropout is on, and normalisation uses the statistics of the
        batch and updates its running averages.

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


def frozen_part(settings: config.Model) -> str:
  """Name of the module that is not trained; '' if all is trained.

  Args:
    settings: of any model.

  >>> frozen_part(MODELS['slstt'].Settings(encoder='finetune'))
  ''
  """
  declared = getattr(MODELS[settings.name], 'frozen_part', lambda settings: '')
  return declared(settings)


def build(
  num_classes: int,
  settings: config.Model,
  phases: Mapping[str, Sequence[str]],
  dtype: Any = None,
) -> Any:
  """Builds the model that `settings.name` selects.

  Args:
    num_classes: width of the logits.
    settings: an instance of the model's `Settings`.
    phases: name of each input -> the phase that each view shows; () if views
      are not of phases.
    dtype: of computation; None for that of the inputs.

  Returns:
    A Linen module; see `Model`.

  >>> settings = MODELS['dianet'].Settings()
  >>> build(3, settings, {'dynamic_images': ['onset_offset']}).phases
  ('onset_offset',)
  """
  model: Any = MODELS[settings.name]
  if not getattr(model, 'knows_phases', False):
    return model(num_classes, settings, dtype)
  shown = tuple(phase for read in model.reads for phase in phases[read])
  return model(num_classes, settings, dtype, shown)
