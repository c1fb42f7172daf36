"""A retention backbone for motion and a small transformer for position.

Source: the code of TSFmicro (arXiv 2505.16372) and GAMDSS (arXiv 2603.04766),
which share it; retention by distance from Fan et al., "RMT: Retentive Networks
Meet Vision Transformers", CVPR 2024. Measured: 12,793,003 parameters with five
classes.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
import numpy as np

from dianet_jax.models import layers

_EPSILON = 1e-6
Map = Float[Array, 'clip height width channel']
NewMap = Float[Array, 'clip new_height new_width feature']
Valid = Bool[Array, ' clip'] | None
# timm's truncated normal, which is cut at 100 deviations.
_small = nn.initializers.normal(0.02)


@dataclasses.dataclass(frozen=True)
class Shape:
  """Sizes of the backbone.

  Attributes:
    widths: features of each stage.
    depths: blocks of each stage.
    heads: heads of each retention layer.
    projection: features before the classifier.
    position_depth: blocks of the transformer; 0 for no transformer.
    position_heads: attention heads of the transformer.
    stem_stride: stride of the first convolution.
    antialias: whether the transformer's small image is made with antialiasing.
    drop_path: probability that the last residual branch is left out, in
      training; it grows linearly from 0 at the first.
  """

  widths: tuple[int, ...] = (64, 128, 256, 512)
  depths: tuple[int, ...] = (1, 1, 2, 1)
  heads: int = 2
  projection: int = 1024
  position_depth: int = 2
  position_heads: int = 4
  stem_stride: int = 2
  antialias: bool = True
  drop_path: float = 0.1


# Names in both codes -> ours.
RULES: tuple[tuple[str, str], ...] = (
  (r'^main_branch\.', ''),
  *(
    (rf'^patch_embed\.proj\.{3 * n}\.', f'stem.convolution_{n}.')
    for n in range(4)
  ),
  *(
    (rf'^patch_embed\.proj\.{3 * n + 1}\.', f'stem.norm_{n}.') for n in range(4)
  ),
  (r'^layers\.(\d)\.blocks\.(\d+)', r'stage_\1_block_\2'),
  (r'^layers\.(\d)\.downsample\.reduction', r'stage_\1_reduce'),
  (r'^layers\.(\d)\.downsample\.norm', r'stage_\1_norm'),
  (r'\.retention_layer_norm', '.norm_1'),
  (r'\.final_layer_norm', '.norm_2'),
  (r'\.pos\.conv', '.place'),
  (r'\.lepe\.conv', '.local'),
  (r'\.ffn\.dwconv\.conv', '.local'),
  (r'\.ffn\.fc1', '.expand'),
  (r'\.ffn\.fc2', '.reduce'),
  (r'\.q_proj', '.query'),
  (r'\.k_proj', '.key'),
  (r'\.v_proj', '.value'),
  (r'\.out_proj', '.out'),
  (r'^proj\.', 'project.'),
  (r'^head\.', 'classifier.'),
  (r'^vit_pos\.pos_embed', 'position.table'),
  (r'^vit_pos\.patch_embed\.proj', 'position.patches'),
  (r'^vit_pos\.blocks\.(\d+)', r'position.block_\1'),
  (r'^vit_pos\.norm', 'position.norm'),
  (r'(position\.block_\d)\.norm(\d)', r'\1.norm_\2'),
  (r'\.attn\.qkv', '.attention.query|key|value'),
  (r'\.attn\.proj', '.attention.out'),
  (r'\.fc1', '.expand'),
  (r'\.fc2', '.reduce'),
)
UNUSED = (
  r'.*\.Relpos\.(angle|decay)',
  r'vit_pos\.(cls_token|head\..*|to_Mask\..*)',
)


def _dense(width, dtype, name):
  return nn.Dense(width, dtype=dtype, kernel_init=_small, name=name)


def _depthwise(x, size, dtype, name):
  width = x.shape[-1]
  return layers.Conv(
    width,
    (size, size),
    padding=size // 2,
    feature_group_count=width,
    kernel_init=layers.uniform_fan_in,
    dtype=dtype,
    name=name,
  )(x)


def angles(features: int) -> Float[np.ndarray, ' feature']:
  """Rotation of each feature of a head from one position to the next.

  >>> np.log10(angles(4)).tolist()
  [0.0, 0.0, -4.0, -4.0]

  Args:
    features: features of a head, even.

  Returns:
    float32, radians: 1 to 1/10,000, equal in pairs.
  """
  steps = np.linspace(0, 1, features // 2, dtype=np.float32)
  return np.repeat(1 / np.power(np.float32(10000), steps), 2)


def decays(heads: int, spread: float) -> Float[np.ndarray, ' head']:
  """Logarithm of each head's decay from one position to the next.

  >>> np.exp(decays(heads=2, spread=2)).round(3).tolist()
  [0.75, 0.875]

  Args:
    heads: number of heads.
    spread: how much the heads' reach differs; head k decays by
      1 - 2^(-2 - spread k / heads).

  Returns:
    float32, below 0.
  """
  powers = -2 - spread * np.arange(heads) / heads
  return np.log(1 - 2**powers).astype(np.float32)


def turned(x: Float[Array, '... place head feature']) -> Array:
  """Rotates pairs of neighbouring features by position times `angles`.

  At position 1 the first pair is rotated by one radian, (1, 0) to (cos, sin):

  >>> x = jnp.tile(jnp.array([1.0, 0.0]), (2, 1))[:, None]
  >>> np.asarray(turned(x)[1, 0], float).round(2).tolist()
  [0.54, 0.84]

  Args:
    x: an even number of features.

  Returns:
    The shape and dtype of x.

  Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position
  Embedding", arXiv 2104.09864.
  """
  angle = angles(x.shape[-1]).astype(np.float64)
  turn = np.arange(x.shape[-3])[:, None] * angle
  cos, sin = (jnp.asarray(f(turn)[:, None], x.dtype) for f in (np.cos, np.sin))
  swapped = jnp.stack([-x[..., 1::2], x[..., ::2]], axis=-1).reshape(x.shape)
  return x * cos + swapped * sin


class Retention(nn.Module):
  """Attention that decays with the distance between positions of a map.

  Attributes:
    heads: number of heads.
    whole: whether a position attends to the whole map, where distance is rows
      plus columns; otherwise to its row first, then to its column.
    spread: how much the heads' reach differs; see `decays`.
    dtype: computation dtype; None for that of x.
  """

  heads: int
  whole: bool
  spread: float
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Map) -> NewMap:
    """A map of the same shape."""
    clips, height, width, features = x.shape
    query, key, value = (
      _dense(features, self.dtype, name)(x)
      for name in ('query', 'key', 'value')
    )
    local = _depthwise(value, 5, self.dtype, 'local')
    query, key, value = (
      y.reshape(clips, height * width, self.heads, -1)
      for y in (query, key, value)
    )
    query, key = turned(query), turned(key * query.shape[-1] ** -0.5)
    decay = decays(self.heads, self.spread)
    if self.whole:
      row, column = np.divmod(np.arange(height * width), width)
      apart = _apart(row) + _apart(column)
      value = _faded(query, key, value, decay, apart)
    else:
      query, key, value = (
        y.reshape(clips, height, width, self.heads, -1)
        for y in (query, key, value)
      )
      value = _faded(query, key, value, decay, _apart(np.arange(width)))
      columns = (y.swapaxes(1, 2) for y in (query, key, value))
      apart = _apart(np.arange(height))
      value = _faded(*columns, decay, apart).swapaxes(1, 2)
    value = value.reshape(clips, height, width, features)
    return _dense(features, self.dtype, 'out')(value + local)


def _apart(place):
  return np.abs(place[:, None] - place)


def _faded(query, key, value, decay, apart):
  """softmax(q k + decay * distance) v, all [..., position, head, feature]."""
  logits = layers.widened(jnp.einsum('...qhf,...khf->...hqk', query, key))
  fade = decay[:, None, None].astype(np.float64) * apart
  weights = jax.nn.softmax(logits + jnp.asarray(fade, logits.dtype))
  weights = weights.astype(value.dtype)
  return jnp.einsum('...hqk,...khf->...qhf', weights, value)


class _Block(nn.Module):
  """Positional convolution, retention and MLP, each with a shortcut."""

  heads: int
  whole: bool
  spread: float
  drop_path: float
  dtype: Any

  @nn.compact
  def __call__(self, x: Map, train: bool) -> NewMap:
    def norm(name):
      return nn.LayerNorm(_EPSILON, dtype=self.dtype, name=name)

    drop = layers.DropPath(self.drop_path)
    x = x + _depthwise(x, 3, self.dtype, 'place')
    y = Retention(
      self.heads, self.whole, self.spread, self.dtype, name='retention'
    )(norm('norm_1')(x))
    x = x + drop(y, train)
    y = _dense(3 * x.shape[-1], self.dtype, 'expand')(norm('norm_2')(x))
    y = layers.gelu(y)
    y = y + _depthwise(y, 3, self.dtype, 'local')
    return x + drop(_dense(x.shape[-1], self.dtype, 'reduce')(y), train)


class _Stem(nn.Module):
  """Four convolutions with GELU between them."""

  width: int
  stride: int
  dtype: Any

  @nn.compact
  def __call__(self, x: Map, valid: Valid, train: bool) -> NewMap:
    for number in range(4):
      x = layers.Conv(
        self.width // 2 if number < 2 else self.width,
        (3, 3),
        1 if number else self.stride,
        1,
        kernel_init=layers.uniform_fan_in,
        dtype=self.dtype,
        name=f'convolution_{number}',
      )(x)
      x = layers.BatchNorm(self.dtype, name=f'norm_{number}')(x, valid, train)
      x = layers.gelu(x) if number < 3 else x
    return x


class _Position(nn.Module):
  """A small transformer on the face, reduced to one pixel per token."""

  shape: Shape
  dtype: Any

  @nn.compact
  def __call__(self, face: Map, rows: int, columns: int) -> NewMap:
    width = self.shape.widths[-1]
    face = jax.image.resize(
      face,
      (len(face), rows, columns, face.shape[-1]),
      'linear',
      antialias=self.shape.antialias,
    )
    x = nn.Dense(
      width,
      kernel_init=layers.uniform_fan_in,
      dtype=self.dtype,
      name='patches',
    )(face)
    x = x.reshape(len(x), -1, width)
    table = self.param('table', _small, x.shape[1:])
    x = x + table.astype(x.dtype)
    for block in range(self.shape.position_depth):
      x = layers.Block(
        self.shape.position_heads,
        4 * width,
        _EPSILON,
        dtype=self.dtype,
        kernel_init=_small,
        name=f'block_{block}',
      )(x)
    x = nn.LayerNorm(_EPSILON, dtype=self.dtype, name='norm')(x)
    return x.reshape(len(x), rows, columns, width)


class RetentionNet(nn.Module):
  """A motion image and the face in which it happens -> logits.

  Attributes:
    num_classes: width of the logits.
    shape: see `Shape`.
    dtype: computation dtype; None for that of the images.
  """

  num_classes: int
  shape: Shape = Shape()
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    motion: Map,
    face: Map | None,
    valid: Valid = None,
    train: bool = False,
    place: Float[Array, 'clip rows columns place_channel'] | None = None,
  ) -> Float[Array, 'clip class_']:
    """Logits.

    Args:
      motion: a motion image, such as apex minus onset.
      face: the face that moves; None with `position_depth` 0.
      valid: False for padded clips; None if there are none.
      train: whether batch statistics are used and branches left out.
      place: a position map to add, instead of one computed from `face`.
    """
    shape, last = self.shape, len(self.shape.widths) - 1
    x = _Stem(shape.widths[0], shape.stem_stride, self.dtype, name='stem')(
      motion, valid, train
    )
    rates = iter(np.linspace(0, shape.drop_path, sum(shape.depths)))
    for stage, depth in enumerate(shape.depths):
      for block in range(depth):
        x = _Block(
          shape.heads,
          whole=stage >= last - 1,
          spread=6 if stage >= last - 1 else 4,
          drop_path=float(next(rates)),
          dtype=self.dtype,
          name=f'stage_{stage}_block_{block}',
        )(x, train)
      if stage < last:
        x = layers.Conv(
          shape.widths[stage + 1],
          (3, 3),
          2,
          1,
          kernel_init=layers.uniform_fan_in,
          dtype=self.dtype,
          name=f'stage_{stage}_reduce',
        )(x)
        x = layers.BatchNorm(self.dtype, name=f'stage_{stage}_norm')(
          x, valid, train
        )
    if place is None and shape.position_depth:
      assert face is not None, 'position_depth needs the face'
      place = _Position(shape, self.dtype, name='position')(face, *x.shape[1:3])
    x = x if place is None else x + place
    x = _dense(shape.projection, self.dtype, 'project')(x)
    x = layers.BatchNorm(self.dtype, name='norm')(x, valid, train)
    x = nn.silu(x).mean(axis=(1, 2))
    return nn.Dense(self.num_classes, kernel_init=_small, name='classifier')(
      layers.widened(x)
    )
