"""ATM-GCN, our reading: a graph over the motions of the whole clip.

Source: arXiv 2406.08997, without public code; the encoder's blocks are those of
MMNet (IJCAI 2022), measured in its code. Stated: dependencies between the
frames of the whole clip, layers that aggregate global and local motion. From a
secondary source: differences from the onset frame, a global node and local
nodes, an adjacency matrix that is updated from layer to layer with a forgetting
rate, self-attention before the classifier. Ours: sizes, sampling, the formulas
of edges and update, and the training.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
import numpy as np

from dianet_jax.core import schema
from dianet_jax.models import layers, official
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import frames

_EPSILON = 1e-5
Valid = Bool[Array, ' clip'] | None
Nodes = Float[Array, 'clip node feature']
_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


@dataclasses.dataclass(frozen=True)
class ATMGCNSettings(frames.Settings):
  """ATM-GCN, our reading."""

  name: str = 'atm_gcn'
  encoder_width: float = schema.key(
    1.0, 'Multiplies the widths of the encoder.', schema.ABOVE_ZERO
  )
  width: int = schema.key(
    256,
    'Features of a node.',
    schema.Check(lambda w: w > 0 and w % 4 == 0, 'a multiple of 4'),
  )
  key_width: int = schema.key(
    64, 'Features of the queries and keys of edges.', schema.at_least(1)
  )
  depth: int = schema.key(2, 'Graph layers.', schema.at_least(1))
  heads: int = schema.key(4, 'Heads of the last attention.', schema.at_least(1))
  graph: str = schema.key(
    'adaptive',
    'Edges: adaptive (each layer keeps a learned part of those of the previous'
    ' layer), fixed (all of them), attention (none).',
    schema.one_of('adaptive', 'fixed', 'attention'),
  )
  global_node: bool = schema.key(
    True,
    'Whether one node is connected to all frames; otherwise the mean of all'
    ' nodes is classified.',
  )
  readout: str = schema.key(
    'attention',
    'What is classified: attention of the global node, or the mean of nodes.',
    schema.one_of('attention', 'mean'),
  )
  dropout: float = schema.key(
    0.5, 'Dropout rate before the classifier.', schema.BELOW_ONE
  )


class Encoder(nn.Module):
  """Differences of frames -> one vector each, by MMNet's blocks.

  Attributes:
    factor: multiplies the widths.
    dtype: computation dtype; None for that of the images.
  """

  factor: float = 1.0
  dtype: Any = None

  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^conv_act\.0', 'stem_1'),
      (r'^conv_act\.1', 'norm_1'),
      (r'^main_branch\.conv1', 'stem_2'),
      (r'^main_branch\.bn1', 'norm_2'),
      (r'^main_branch\.layer(\d)\.0', r'block_\1'),
      (r'\.conv(\d)', r'.convolution_\1'),
      (r'\.bn(\d)', r'.norm_\1'),
      (r'\.attn\.0', '.attend'),
      (r'\.attn\.1', '.attend_norm'),
      (r'\.downsample\.0', '.shortcut'),
      (r'\.downsample\.1', '.shortcut_norm'),
    )
  )

  @nn.compact
  def __call__(
    self, x: frames.Frames, valid: Valid = None, train: bool = False
  ) -> Float[Array, 'clip frame feature']:
    """The mean over the pixels of the last map."""
    first, *widths = (
      max(1, round(w * self.factor)) for w in (180, 128, 128, 256, 512)
    )
    x = _convolved(x, first, 3, 2, self.dtype, 'stem_1')
    x = nn.relu(layers.BatchNorm(self.dtype, name='norm_1')(x, valid, train))
    x = _convolved(x, widths[0], 3, 1, self.dtype, 'stem_2')
    x = nn.relu(layers.BatchNorm(self.dtype, name='norm_2')(x, valid, train))
    places = None
    for number, width in enumerate(widths, 1):
      x, places = _ContinuousAttention(
        width, 1 if number == 1 else 2, self.dtype, name=f'block_{number}'
      )(x, places, valid, train)
    return x.mean(axis=(2, 3))


def _convolved(x, width, size, stride, dtype, name):
  return layers.Conv(
    width,
    (size, size),
    stride,
    size // 2,
    use_bias=False,
    kernel_init=_fan_out,
    dtype=dtype,
    name=name,
  )(x)


class _ContinuousAttention(nn.Module):
  """A residual block whose spatial attention continues the previous one's."""

  width: int
  stride: int
  dtype: Any

  @nn.compact
  def __call__(self, x, places, valid, train):
    """The map, and its attention [clip, frame, height, width, 1]."""

    def normed(y, name):
      return layers.BatchNorm(self.dtype, name=name)(y, valid, train)

    def convolved(y, width, size, stride, name):
      return _convolved(y, width, size, stride, self.dtype, name)

    y = convolved(x, self.width, 3, self.stride, 'convolution_1')
    y = nn.relu(normed(y, 'norm_1'))
    y = normed(convolved(y, self.width, 1, 1, 'convolution_2'), 'norm_2')
    if self.stride > 1:
      x = convolved(x, self.width, 1, self.stride, 'shortcut')
      x = normed(x, 'shortcut_norm')
    y = nn.relu(x + y)
    own = jnp.stack([y.mean(axis=-1), layers.largest(y, -1)], axis=-1)
    own = convolved(own, 1, 1, 1, 'attend')
    own = nn.sigmoid(normed(own, 'attend_norm'))
    if places is not None:
      own = own * layers.max_pool(places, (3, 3), (2, 2), ((1, 1), (1, 1)))
    return y * own, own


def time_code(steps: int, width: int) -> Float[np.ndarray, 'step feature']:
  """Positional encoding: sines and cosines of the step's number, from 1.

  >>> time_code(steps=2, width=2).round(2).tolist()
  [[0.84, 0.54], [0.91, -0.42]]

  Args:
    steps: number of frames after the onset.
    width: features, even.

  Returns:
    float64, sine and cosine in turn.

  Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section
  3.5.
  """
  place = np.arange(1, steps + 1)[:, None]
  rates = 10000 ** (-np.arange(0, width, 2) / width)
  both = np.stack([np.sin(place * rates), np.cos(place * rates)], axis=-1)
  return both.reshape(steps, width)


def adjacency(steps: int, global_node: bool) -> Float[np.ndarray, 'node node']:
  """Edges before the first layer: weights that fall with the distance in time.

  >>> adjacency(steps=2, global_node=False).round(2).tolist()
  [[0.62, 0.38], [0.38, 0.62]]

  Args:
    steps: number of local nodes.
    global_node: whether a node comes first whose edges all weigh 1 before rows
      are normalised.

  Returns:
    float64 [to node, from node]; each row sums to 1: exp(-distance / 2),
    normalised. Ours.
  """
  place = np.arange(steps)
  local = np.exp(-np.abs(place[:, None] - place) / 2)
  weights = np.pad(local, ((1, 0), (1, 0)), constant_values=1)
  weights = weights if global_node else local
  return weights / weights.sum(axis=1, keepdims=True)


class Graph(nn.Module):
  """Motion vectors of a clip's frames -> logits.

  Attributes:
    num_classes: width of the logits.
    settings: see `ATMGCNSettings`.
    dtype: computation dtype; None for that of the vectors.
  """

  num_classes: int
  settings: ATMGCNSettings = ATMGCNSettings()
  dtype: Any = None

  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^global_node$', 'global'),
      (r'^proj\.', 'project.'),
      (r'^norm_in', 'norm'),
      (r'^norm_out', 'readout_norm'),
      (r'^layers\.(\d)', r'layer_\1'),
      (r'\.wq', '.query'),
      (r'\.wk', '.key'),
      (r'\.w\.', '.mix.'),
      (r'^q\.', 'readout.query.'),
      (r'^k\.', 'readout.key.'),
      (r'^v\.', 'readout.value.'),
      (r'^o\.', 'readout.out.'),
      (r'^head', 'classifier'),
    )
  )

  @nn.compact
  def __call__(
    self, motions: Float[Array, 'clip frame feature'], train: bool = False
  ) -> Float[Array, 'clip class_']:
    """Logits of clips from their motion vectors, in order of time."""
    s = self.settings

    def norm(name):
      return nn.LayerNorm(_EPSILON, dtype=self.dtype, name=name)

    x = nn.Dense(s.width, dtype=self.dtype, name='project')(motions)
    x = norm('norm')(x)
    x = x + jnp.asarray(time_code(x.shape[1], s.width), x.dtype)
    steps = x.shape[1]
    if s.global_node:
      zeros = nn.initializers.zeros
      offset = self.param('global', zeros, (s.width,)).astype(x.dtype)
      whole = x.mean(axis=1, keepdims=True) + offset
      x = jnp.concatenate([whole, x], axis=1)
    edges = jnp.asarray(adjacency(steps, s.global_node), x.dtype)
    for layer in range(s.depth):
      x, edges = _Layer(s, self.dtype, name=f'layer_{layer}')(x, edges)
    if s.readout == 'attention' and s.global_node:
      attended = layers.Attention(s.heads, dtype=self.dtype, name='readout')(
        x[:, :1], x
      )
      x = norm('readout_norm')(x[:, :1] + attended)
    x = nn.Dropout(s.dropout, deterministic=not train)(x.mean(axis=1))
    return nn.Dense(self.num_classes, name='classifier')(layers.widened(x))


class _Layer(nn.Module):
  """Updates the edges, then the nodes along them."""

  settings: ATMGCNSettings
  dtype: Any

  @nn.compact
  def __call__(self, x: Nodes, edges: Array) -> tuple[Nodes, Array]:
    s = self.settings
    if s.graph != 'fixed':
      query, key = (
        nn.Dense(s.key_width, use_bias=False, dtype=self.dtype, name=name)(x)
        for name in ('query', 'key')
      )
      scores = layers.widened(jnp.einsum('cqf,ckf->cqk', query, key))
      new = jax.nn.softmax(scores / np.sqrt(s.key_width)).astype(x.dtype)
      kept = 0.0
      if s.graph == 'adaptive':
        kept = self.param('keep', nn.initializers.zeros, (1,)).astype(x.dtype)
        kept = nn.sigmoid(kept)
      edges = kept * edges + (1 - kept) * new
    y = edges @ x
    y = nn.relu(nn.Dense(x.shape[-1], dtype=self.dtype, name='mix')(y))
    norm = nn.LayerNorm(_EPSILON, dtype=self.dtype, name='norm')
    return norm(x + y), edges


class ATMGCN(nn.Module):
  """Differences from the onset -> logits; attributes: see `registry.Model`.

  >>> images = jax.ShapeDtypeStruct((4, 15, 112, 112, 3), 'float32')
  >>> inputs, key = {'onset_difference': images}, jax.random.key(0)
  >>> model = ATMGCN(3)
  >>> outputs, variables = jax.eval_shape(model.init_with_output, key, inputs)
  >>> sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
  3123577
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: ATMGCNSettings = ATMGCNSettings()
  dtype: Any = None

  Settings: ClassVar[type[ATMGCNSettings]] = ATMGCNSettings
  reads: ClassVar[tuple[str, ...]] = ('onset_difference',)
  recommended: ClassVar[Mapping[str, Any]] = {
    **frames.UNSCALED,
    'data.sampling.frames': 15,
    'train.epochs': 60,
    'train.batch_size': 16,
    'train.learning_rate': 5e-4,
    'train.weight_decay': 5e-2,
    'train.augment.rotation_degrees': 3.0,
    'train.augment.shift_pixels': 8,
    'objective.label_smoothing': 0.0,
  }
  feature_layers: ClassVar[str] = 'encoder/block_4'

  @staticmethod
  def check(
    settings: ATMGCNSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    del specs
    yield (
      'heads',
      settings.width % settings.heads == 0,
      f'a divisor of width={settings.width}',
    )
    yield (
      'readout',
      settings.readout == 'mean' or settings.global_node,
      'mean, because there is no global node',
    )

  @staticmethod
  def check_channels(
    settings: ATMGCNSettings, channels: Mapping[str, Sequence[Any]]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    del settings
    [named] = channels.values()
    yield (
      'name',
      not any(channel.component or channel.coded for channel in named),
      'another model: flow of two phases is no sequence of frames, which the'
      ' graph is made of',
    )

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, frames.Frames],
    valid: Valid = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view."""
    settings = self.settings
    [images] = inputs.values()
    images = frames.normalised_difference(images, settings)
    motions = Encoder(settings.encoder_width, self.dtype, name='encoder')(
      images, valid, train
    )
    logits = Graph(self.num_classes, settings, self.dtype, name='graph')(
      motions, train
    )
    return Outputs(logits[:, None])
