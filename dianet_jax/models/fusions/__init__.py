"""Fusions: the tokens of each view -> the feature vectors of a clip.

In: a sequence of token arrays [clip, token, feature], one per view. Out: float
[clip, view, feature]: one view if it fuses them, all of them if it does not
(`each_phase`). May import: models.layers, core.
"""

from collections.abc import Mapping

from dianet_jax.models.fusions.adaptive import GATES as GATES
from dianet_jax.models.fusions.adaptive import Adaptive as Adaptive
from dianet_jax.models.fusions.biovilt import BioViLT as BioViLT
from dianet_jax.models.fusions.biovilt import Projector as Projector
from dianet_jax.models.fusions.causal import Causal as Causal
from dianet_jax.models.fusions.gban import GBAN as GBAN
from dianet_jax.models.fusions.plain import POOLS as POOLS
from dianet_jax.models.fusions.plain import Add as Add
from dianet_jax.models.fusions.plain import Concat as Concat
from dianet_jax.models.fusions.plain import CrossAttention as CrossAttention
from dianet_jax.models.fusions.plain import EachPhase as EachPhase
from dianet_jax.models.fusions.plain import Fusion as Fusion
from dianet_jax.models.fusions.plain import Gated as Gated
from dianet_jax.models.fusions.plain import Tokens as Tokens
from dianet_jax.models.fusions.plain import Vectors as Vectors

FUSIONS: Mapping[str, type[Fusion]] = {
  'cross_attention': CrossAttention,
  'concat': Concat,
  'add': Add,
  'gated': Gated,
  'adaptive': Adaptive,
  'each_phase': EachPhase,
  'biovilt': BioViLT,
  'gban': GBAN,
  'causal': Causal,
}
