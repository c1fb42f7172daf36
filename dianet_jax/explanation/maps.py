"""Class activation maps of feature layers, and maps of attention.

A map is the difference between the clip and the same clip without motion, so a
clip without motion has a map of zeros. Flax interceptors read both: models
declare only the names of the layers.
"""

import collections
from collections.abc import Callable, Mapping
import dataclasses
import functools
import math
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from dianet_jax.models import registry as models

# (variables, raw inputs [clip, ...], options of `Module.apply`) -> `Outputs`.
Apply = Callable[..., Any]
Inputs = Mapping[str, Float[np.ndarray, '...']]
Map = Float[np.ndarray, 'row column']

_PARTS = re.compile(r'(\D+)(\d*)')


def _path(context: nn.module.InterceptorContext) -> str:
  return '/'.join(context.module.path)


def _score(outputs: models.Outputs, class_: Any) -> Float[Array, '']:
  """Logarithm of the probability of a class, for one clip."""
  logs = jax.nn.log_softmax(outputs.logits[0], axis=-1)[:, class_]
  return jax.nn.logsumexp(logs) - jnp.log(len(logs))


@dataclasses.dataclass(frozen=True)
class Maps:
  """Explains by the features and the attention inside a network.

  Attributes:
    apply: (variables, raw inputs) -> `Outputs`, in inference mode.
    feature_layers: regular expression for the paths of modules, see
      `models.registry`; '' for none.
    attention_layers: the same for attention modules, one for each map.
  """

  apply: Apply
  feature_layers: str
  attention_layers: tuple[str, ...]

  def activation(
    self, variables: Any, inputs: Inputs, still: Inputs, class_: int
  ) -> dict[str, Map]:
    """Class activation map of each feature layer.

    The map at a position is the sum over features of (feature - feature of the
    clip without motion) times the gradient of the class's log-probability;
    negative values become 0. The gradient is taken at each position instead of
    averaged, because averages explain networks wrongly that keep the positions
    of features (`pool='flatten'`).

    Args:
      variables: of the network.
      inputs: raw inputs of one clip, without the clip axis.
      still: the same without motion.
      class_: index of the class to explain.

    Returns:
      Path of the layer, with the number of the call if it is called several
      times -> map in nats, at least 0, at the layer's resolution.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017; gradients at each position:
    Draelos and Carin, "HiResCAM", arXiv 2011.08891. Ours: the difference from
    the clip without motion.
    """
    if not self.feature_layers:
      return {}
    maps = {}
    # The same program runs twice, so that only the inputs differ.
    features, gradients = self._features(variables, _batch(inputs), class_)
    reference, _ = self._features(variables, _batch(still), class_)
    for (name, feature), gradient in zip(
      features.items(), gradients, strict=True
    ):
      beyond = np.asarray(feature, np.float32) - np.asarray(
        reference[name], np.float32
      )
      heat = (np.asarray(gradient, np.float32) * beyond).sum(axis=-1)
      # Leading axes are frames or segments of the clip.
      maps[name] = np.maximum(heat.reshape(-1, *heat.shape[-2:]).sum(0), 0)
    return maps

  @functools.cached_property
  def _features(self):
    """(variables, inputs, class) -> name: features of a layer; gradients."""

    def compute(variables, inputs, class_):
      names: list[str] = []
      shapes = jax.eval_shape(
        lambda: self._run(variables, inputs, None, names)[1]
      )

      def score(deltas):
        outputs, features = self._run(variables, inputs, deltas)
        return _score(outputs, class_), features

      zeros = tuple(jnp.zeros(f.shape, f.dtype) for f in shapes)
      gradients, features = jax.grad(score, has_aux=True)(zeros)
      # In the order of their calls. Names are a part of a result's structure,
      # so the compiled program keeps them.
      named = collections.OrderedDict(zip(_numbered(names), features))
      return named, gradients

    return jax.jit(compute)

  def _run(self, variables, inputs, deltas, names=None):
    """Outputs, and the outputs of feature layers after adding `deltas`."""
    seen = []

    def intercept(function, args, kwargs, context):
      output = function(*args, **kwargs)
      path = _path(context)
      if context.method_name != '__call__' or not re.fullmatch(
        self.feature_layers, path
      ):
        return output
      several = isinstance(output, tuple)
      first = output[0] if several else output
      if deltas is not None:
        first = first + deltas[len(seen)]
      seen.append(first)
      if names is not None:
        names.append(path)
      return (first, *output[1:]) if several else first

    with nn.intercept_methods(intercept):
      outputs = self.apply(variables, inputs)
    return outputs, tuple(seen)

  def attention(
    self, variables: Any, inputs: Inputs, still: Inputs
  ) -> dict[str, Map]:
    """Attention to each position, above that in the clip without motion.

    Weights are averaged over heads, and over queries unless there is a class
    token, whose weights are used. A stack of layers over the same tokens is
    combined by rollout (Abnar and Zuidema, "Quantifying Attention Flow", ACL
    2020).

    Args:
      variables: of the network.
      inputs: raw inputs of one clip, without the clip axis.
      still: the same without motion.

    Returns:
      Path of the layers -> map of the tokens, 0..1, of one row if the tokens
      form no square; {} for a model without attention.
    """
    if not self.attention_layers:
      return {}
    weights, reference = (
      self._attention(variables, _batch(chosen)) for chosen in (inputs, still)
    )
    return {
      name: np.maximum(looked - reference[name], 0)
      for name, looked in weights.items()
    }

  def _attention(self, variables, inputs) -> dict[str, np.ndarray]:
    found = self._weights(variables, inputs)
    maps = {}
    for expression in self.attention_layers:
      names = [name for name in found if re.fullmatch(expression, name)]
      names.sort(key=_by_number)
      # Averages the leading axes: heads and frames of the one clip.
      stack = [
        np.asarray(found[n]).reshape(-1, *found[n].shape[-2:]).mean(axis=0)
        for n in names
      ]
      if stack:
        title = names[0] if len(names) == 1 else f'{names[0]} to {names[-1]}'
        whole = stack[0] if len(stack) == 1 else _rollout(stack)
        maps[title] = _looked_at(whole)
    return maps

  @functools.cached_property
  def _weights(self):
    def intercept(function, args, kwargs, context):
      if isinstance(context.module, nn.MultiHeadDotProductAttention):
        kwargs = {**kwargs, 'sow_weights': True}
      return function(*args, **kwargs)

    def compute(variables, inputs):
      with nn.intercept_methods(intercept):
        _, kept = self.apply(variables, inputs, mutable=['intermediates'])
      found = {}
      for path, leaf in jax.tree_util.tree_leaves_with_path(
        kept.get('intermediates', {})
      ):
        *modules, name = [k.key for k in path if hasattr(k, 'key')]
        if name == 'attention_weights':
          found['/'.join(modules)] = leaf
      return found

    return jax.jit(compute)


def _batch(inputs: Inputs) -> dict[str, np.ndarray]:
  return {name: values[None] for name, values in inputs.items()}


def _numbered(names: list[str]) -> list[str]:
  """Numbers the calls of a layer: 'name', 'name (2)', ..."""
  seen: dict[str, int] = {}
  numbered = []
  for name in names:
    seen[name] = seen.get(name, 0) + 1
    numbered.append(name if seen[name] == 1 else f'{name} ({seen[name]})')
  return numbered


def _by_number(name: str) -> list[tuple[str, int]]:
  """Sort key that puts 'block_2' before 'block_10'."""
  return [(text, int(number or 0)) for text, number in _PARTS.findall(name)]


def _rollout(layers) -> np.ndarray:
  """Product of the layers' weights, averaged with the skip connection."""
  total = None
  for weights in layers:
    step = (weights + np.eye(len(weights))) / 2
    total = step if total is None else step @ total
  assert total is not None
  return total


def _looked_at(weights: Float[np.ndarray, 'query key']) -> Map:
  """Attention to the keys: by the class token, or the mean over queries."""
  number = weights.shape[1]
  side = math.isqrt(number)
  if side * side == number:
    return weights.mean(axis=0).reshape(side, side)
  side = math.isqrt(number - 1)
  if side * side == number - 1 and side > 1:
    return weights[0, 1:].reshape(side, side)
  return weights.mean(axis=0)[None]
