"""SLSTT: a vision transformer on each flow image, an LSTM over them.

Source: Zhang et al., "Short and Long Range Relation Based Spatio-Temporal
Transformer for Micro-Expression Recognition", arXiv 2112.05851, and its code.
Stated: flow from the onset to each of 11 frames, ViT-B/16, mean or LSTM as
aggregator. Measured in the code: Farneback's flow as HSV colours, brightness
scaled for each image; 384 pixels, ImageNet's mean and deviation; GELU by tanh;
the encoder runs without gradient, so only 6,962,181 of 93,054,986 parameters
are trained (5 classes), but with dropout; SGD with momentum .9, weight decay
1e-4, batches of 1 or 2 clips and a learning rate of .01 in epochs 1 to 29, .001
in 30 to 40. Ours: 112 pixels and a smaller encoder, which is
trained unless weights are given; a frozen one computes its class tokens once,
without dropout; AdamW with 3e-4 and batches of 16; missing frames are blended
linearly, not by RIFE; aligned faces instead of crops by landmarks; colours are
reduced by averaging areas; grey images weigh red and blue as usual (exchanged
in the code); no JPEG and no rounding to 8 bits. Published: UF1 .815 on the
composite, with epochs chosen on the held-out subjects; whether its encoder was
frozen is not known.

Fed by `phase_flow` instead (`data.inputs`), with `normalise=none` and, for 28
pixels, `enlarge=112`, it sees two images of u, v and strain: another model.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
import numpy as np

from dianet_jax.core import schema
from dianet_jax.models import layers, official
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import flow_images, frames

_EPSILON = 1e-6
# Features of a head in every published ViT.
_HEAD_WIDTH = 64
_TOKENS = 'class_tokens'
Frames = Float[Array, 'clip frame height width channel']
Sequence = Float[Array, 'clip frame feature']
OutputSequence = Float[Array, 'clip frame width']


@dataclasses.dataclass(frozen=True)
class SLSTTSettings(frames.Settings):
  """SLSTT; the encoder's sizes are ours, the original's are in brackets."""

  name: str = 'slstt'
  encoder: str = schema.key(
    'auto',
    'auto: frozen with model.pretrained, otherwise finetune. frozen, as in the'
    ' code: patches, positions and blocks are not trained; their outputs, one'
    ' class token for each image, are computed once, without dropout and'
    ' augmentation. finetune: all is trained.',
    schema.one_of('auto', 'frozen', 'finetune'),
  )
  patch: int = schema.key(16, 'Pixels of a patch, square.', schema.at_least(1))
  width: int = schema.key(192, 'Features of tokens (768).', schema.at_least(1))
  depth: int = schema.key(6, 'Transformer blocks (12).', schema.at_least(1))
  heads: int = schema.key(3, 'Attention heads (12).', schema.at_least(1))
  mlp_width: int = schema.key(
    768, 'Hidden features of the MLPs (3072).', schema.at_least(1)
  )
  dropout: float = schema.key(
    0.1, 'Dropout rate within the blocks.', schema.BELOW_ONE
  )
  aggregator: str = schema.key(
    'lstm',
    'lstm, or mean: the mean of the logits of all images.',
    schema.one_of('lstm', 'mean'),
  )
  lstm_width: int = schema.key(
    256, 'Features of the LSTM (512).', schema.at_least(1)
  )
  lstm_depth: int = schema.key(2, 'Layers of the LSTM (3).', schema.at_least(1))
  head_width: int = schema.key(
    256,
    'Features of the layer between LSTM and classifier.',
    schema.at_least(1),
  )
  enlarge: int = schema.key(
    0,
    'Images are first enlarged to this size, pixels; 0 = not. Flow of 28 pixels'
    ' needs 112 with the default patch. Ours.',
    schema.at_least(0),
  )

  @property
  def frozen(self) -> bool:
    """Whether the encoder is not trained."""
    given = self.encoder == 'auto' and self.pretrained != ''
    return given or self.encoder == 'frozen'


class Encoder(nn.Module):
  """Images -> class tokens before the last norm.

  Initialised as in the code, except for the patches: linear layers of the
  blocks by Xavier's uniform distribution, their biases within 1e-6 about 0.

  Attributes:
    settings: see `SLSTTSettings`.
    dtype: computation dtype; None for that of the images.
  """

  settings: SLSTTSettings
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Frames, train: bool) -> Sequence:
    """One token for each frame; `train`: whether dropout is active."""
    s = self.settings
    x = frames.normalised(flow_images.enlarged(x, s.enlarge), s)
    x = layers.Conv(
      s.width,
      (s.patch, s.patch),
      s.patch,
      'VALID',
      dtype=self.dtype,
      name='patches',
    )(x)
    x = x.reshape(*x.shape[:2], -1, s.width)
    first = self.param('class_token', nn.initializers.zeros, (s.width,))
    first = jnp.broadcast_to(first.astype(x.dtype), (*x.shape[:2], 1, s.width))
    x = jnp.concatenate([first, x], axis=2)
    position = self.param('position', nn.initializers.normal(0.02), x.shape[2:])
    x = x + position.astype(x.dtype)
    for block in range(s.depth):
      x = layers.Block(
        s.heads,
        s.mlp_width,
        _EPSILON,
        tanh_gelu=True,
        dropout=s.dropout,
        hidden_dropout=0.0,
        dtype=self.dtype,
        kernel_init=nn.initializers.xavier_uniform(),
        bias_init=nn.initializers.normal(1e-6),
        name=f'block_{block}',
      )(x, train)
    return x[:, :, 0]


def _uniform(limit):
  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -limit, limit)

  return init


class LSTM(nn.Module):
  """Long short-term memory, starting at zeros, unrolled over the frames.

  Attributes:
    width: features of the state; gates come in PyTorch's order: input,
      forget, cell, output.
    dtype: computation dtype; None for that of x.
  """

  width: int
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Sequence) -> OutputSequence:
    """The output of every step."""
    init = _uniform(self.width**-0.5)

    def dense(name):
      return nn.Dense(
        4 * self.width,
        kernel_init=init,
        bias_init=init,
        dtype=self.dtype,
        name=name,
      )

    from_input, recurrent = dense('input')(x), dense('recurrent')
    state = cell = jnp.zeros((len(x), self.width), from_input.dtype)
    outputs = []
    # Unrolled, because there are only a dozen steps.
    for step in range(x.shape[1]):
      gates = from_input[:, step] + recurrent(state)
      enter, forget, new, leave = jnp.split(gates, 4, axis=-1)
      cell = nn.sigmoid(forget) * cell + nn.sigmoid(enter) * nn.tanh(new)
      state = nn.sigmoid(leave) * nn.tanh(cell)
      outputs.append(state)
    return jnp.stack(outputs, axis=1)


class SLSTT(nn.Module):
  """Flow images -> logits; attributes: see `registry.Model`.

  >>> settings = SLSTTSettings(depth=1)
  >>> images = jax.ShapeDtypeStruct((4, 11, 112, 112, 3), 'float32')
  >>> inputs, key = {'long_term_flow': images}, jax.random.key(0)
  >>> model = SLSTT(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: SLSTTSettings = SLSTTSettings()
  dtype: Any = None

  Settings: ClassVar[type[SLSTTSettings]] = SLSTTSettings
  reads: ClassVar[tuple[str, ...]] = ('long_term_flow',)
  recommended: ClassVar[Mapping[str, Any]] = {
    'data.flow.method': 'farneback',
    'data.flow.coding': 'hsv',
    'data.sampling.span': 'apex_window',
    'data.sampling.frames': 11,
    'data.scaling': 'none',
    'train.epochs': 40,
    # There 1 or 2 clips, and SGD.
    'train.batch_size': 16,
    'train.learning_rate': 3e-4,
    'train.class_balance': 'none',
    'train.augment.flip_probability': 0.0,
    'train.augment.shift_pixels': 0,
    'objective.label_smoothing': 0.0,
  }
  attention_layers: ClassVar[tuple[str, ...]] = (
    r'encoder/block_\d+/attention',
  )
  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^vit\.class_token', 'encoder.class_token'),
      (r'^vit\.patch_embedding', 'encoder.patches'),
      (r'^vit\.positional_embedding\.pos_embedding', 'encoder.position'),
      (r'^vit\.transformer\.blocks\.(\d+)', r'encoder.block_\1'),
      (r'\.attn\.proj_q', '.attention.query'),
      (r'\.attn\.proj_k', '.attention.key'),
      (r'\.attn\.proj_v', '.attention.value'),
      (r'(block_\d+)\.proj\.', r'\1.attention.out.'),
      (r'(block_\d+)\.norm(\d)', r'\1.norm_\2'),
      (r'pwff\.fc1', 'mlp.expand'),
      (r'pwff\.fc2', 'mlp.reduce'),
      (r'^vit\.norm', 'norm'),
      (r'^vit\.fc', 'frame_classifier'),
      (r'^lstm\.(weight|bias)_ih_l(\d)', r'lstm_\2.input.\1'),
      (r'^lstm\.(weight|bias)_hh_l(\d)', r'lstm_\2.recurrent.\1'),
      (r'^fc1', 'hidden'),
      (r'^fc2', 'classifier'),
    ),
    # There both aggregators have weights; here only the one that is used.
    unused=(r'vit\.fc\..*',),
  )
  mean_names: ClassVar[official.Names] = dataclasses.replace(
    official_names, unused=(r'(lstm|fc1|fc2)\..*',)
  )
  # Of the library from which its code has the encoder, without what follows.
  encoder_names: ClassVar[official.Names] = official.Names(
    (('^', 'vit.'), *official_names.rules),
    unused=(r'(fc|pre_logits)\..*',),
    modules=('encoder', 'norm'),
  )

  @staticmethod
  def check(
    settings: SLSTTSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield (
      'encoder',
      settings.encoder != 'frozen' or settings.pretrained != '',
      'auto or finetune, or a file of weights in model.pretrained: an encoder'
      ' with random weights would not be trained either',
    )
    [spec] = specs.values()
    size = settings.enlarge or spec.shape[1]
    yield (
      'patch',
      size % settings.patch == 0,
      f'a divisor of {size}, which data.image_size and model.enlarge give',
    )
    yield (
      'heads',
      settings.width % settings.heads == 0,
      f'a divisor of width={settings.width}',
    )

  @staticmethod
  def check_channels(
    settings: SLSTTSettings, channels: Mapping[str, tuple[Any, ...]]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    [named] = channels.values()
    yield (
      'normalise',
      settings.normalise == 'none' or all(channel.coded for channel in named),
      'none: images that are not colours have no mean of photographs',
    )

  @staticmethod
  def frozen_part(settings: SLSTTSettings) -> str:
    """See `registry`."""
    return 'encoder' if settings.frozen else ''

  @nn.nowrap
  def features(
    self, variables: Mapping[str, Any], inputs: Mapping[str, Frames]
  ) -> dict[str, Sequence]:
    """See `registry`: the class token of each image."""
    [images] = inputs.values()
    encoder: Any = Encoder(self.settings, self.dtype, parent=None)
    own = {kind: tree['encoder'] for kind, tree in variables.items()}
    return {_TOKENS: encoder.apply(own, images, False)}

  @nn.nowrap
  def names_in(self, entries: Mapping[str, np.ndarray]) -> official.Names:
    """See `registry`: a complete network, or a ViT pretrained on photographs.

    Args:
      entries: of a file of the authors of SLSTT, or of the library whose ViT
        their code uses (github.com/lukemelas/PyTorch-Pretrained-ViT).
    """
    if 'class_token' in entries:
      return self.encoder_names
    lstm = self.settings.aggregator == 'lstm'
    return self.official_names if lstm else self.mean_names

  @nn.nowrap
  def settings_for(self, entries: Mapping[str, np.ndarray]) -> str:
    """See `registry`; '' for a file of other names."""
    vit = '' if 'class_token' in entries else 'vit.'
    table = entries.get(f'{vit}positional_embedding.pos_embedding')
    kernel = entries.get(f'{vit}patch_embedding.weight')
    mlps = [n for n in entries if n.endswith('pwff.fc1.weight')]
    if table is None or kernel is None or not mlps:
      return ''
    *_, tokens, width = table.shape
    patch = kernel.shape[-1]
    needed = {'width': width, 'patch': patch}
    if not width % _HEAD_WIDTH:
      # No entry shows the number of heads.
      needed['heads'] = width // _HEAD_WIDTH
    needed |= {'depth': len(mlps), 'mlp_width': len(entries[mlps[0]])}
    if 'lstm.weight_hh_l0' in entries:
      layers_ = [n for n in entries if n.startswith('lstm.weight_hh')]
      needed |= {
        'lstm_depth': len(layers_),
        'lstm_width': entries[layers_[0]].shape[1],
        'head_width': len(entries['fc1.weight']),
      }
    listed = ' '.join(f'model.{key}={value}' for key, value in needed.items())
    size = patch * math.isqrt(tokens - 1)
    return (
      f'This file needs {listed}, and images of {size} pixels: set'
      f' data.image_size={size} or model.enlarge={size}.'
    )

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Array],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view. No clip depends on another."""
    del valid
    s = self.settings
    tokens = inputs.get(_TOKENS)
    if tokens is None:
      [images] = inputs.values()
      tokens = Encoder(s, self.dtype, name='encoder')(images, train)
    tokens = nn.LayerNorm(_EPSILON, dtype=self.dtype, name='norm')(tokens)
    if s.aggregator == 'mean':
      zeros = nn.initializers.zeros
      logits = nn.Dense(
        self.num_classes, kernel_init=zeros, name='frame_classifier'
      )(layers.widened(tokens)).mean(axis=1)
      return Outputs(logits[:, None])
    for layer in range(s.lstm_depth):
      tokens = LSTM(s.lstm_width, self.dtype, name=f'lstm_{layer}')(tokens)
    x = nn.Dense(
      s.head_width,
      kernel_init=layers.uniform_fan_in,
      dtype=self.dtype,
      name='hidden',
    )(tokens[:, -1])
    logits = nn.Dense(
      self.num_classes, kernel_init=layers.uniform_fan_in, name='classifier'
    )(layers.widened(nn.relu(x)))
    return Outputs(logits[:, None])
