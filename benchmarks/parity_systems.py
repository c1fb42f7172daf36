"""How each fixture of `benchmarks.parity` is run through the zoo's networks."""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dianet_jax.models import fusions, official
from dianet_jax.models.fusions import biovilt, causal, gban
from dianet_jax.models.zoo import (
  atm_gcn,
  causalnet,
  fmanet,
  gamdss,
  htnet,
  offapexnet,
  retention,
  skd_tstsan,
  slstt,
  ststnet,
  tcm,
  tsfmicro,
)
from dianet_jax.training import contrastive, distillation, objectives

Arrays = Mapping[str, np.ndarray]
# (fixture, inputs, entries, which outputs) -> outputs by name.
Run = Callable[[Mapping[str, Any], Arrays, Arrays, str], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class System:
  """One fixture.

  Attributes:
    run: gives its outputs, in the original's layout.
    own_input: its input's rule where that isn't a wave; '' otherwise.
    keys: of the fixture, what `run` gives.
  """

  run: Run
  own_input: str = ''
  keys: tuple[str, ...] = ('outputs', 'outputs_fill2')


def variables_of(
  module: nn.Module,
  names: official.Names,
  entries: Arrays,
  *arguments: Any,
  **options: Any,
) -> Any:
  """The module's variables in float64, every one of them from `entries`."""
  shapes = jax.eval_shape(
    lambda key: module.init(key, *arguments, **options), jax.random.key(0)
  )
  return official.load(names, shapes, entries, dtype=np.float64).variables


@functools.cache
def _compiled(module: nn.Module) -> Callable:
  """One program for both fills."""
  return jax.jit(lambda v, a, o: module.apply(v, *a, **o))


def apply(
  module: nn.Module,
  names: official.Names,
  entries: Arrays,
  *arguments: Any,
  **options: Any,
) -> Any:
  """What the module gives, filled with `entries`."""
  variables = variables_of(module, names, entries, *arguments, **options)
  return _compiled(module)(variables, arguments, options)


def last(x: np.ndarray) -> jax.Array:
  """Channels, the third axis from the end, become the last."""
  return jnp.moveaxis(jnp.asarray(x), -3, -1)


def first(x: jax.Array) -> jax.Array:
  """Channels, the last axis, become the third from the end."""
  return jnp.moveaxis(x, -1, -3)


def tokens(x: np.ndarray) -> jax.Array:
  """[..., channel, row, column] -> [..., token, channel]."""
  x = last(x)
  return x.reshape(*x.shape[:-3], -1, x.shape[-1])


def maps(x: jax.Array, side: int) -> jax.Array:
  """[clip, token, channel] -> [clip, channel, row, column]."""
  return first(x.reshape(len(x), side, side, -1))


def _plain(settings: type, **options: Any) -> Any:
  """Settings under which images reach a flow network as they are."""
  return settings(channel_order='rgb', input_scale=1, **options)


def _ststnet(fixture, inputs, entries, key):
  model = ststnet.STSTNet(3, _plain(ststnet.Settings))
  read = {'phase_flow': last(inputs['image'])[:, None]}
  return {
    'logits': apply(model, model.official_names, entries, read).logits[:, 0]
  }


def _offapexnet(fixture, inputs, entries, key):
  read = {'phase_flow': last(inputs['flow'])[:, None]}
  found = {}
  for word, relu in (('no', False), ('with', True)):
    settings = _plain(offapexnet.Settings, conv_relu=relu)
    model = offapexnet.OffApexNet(3, settings)
    found[f'logits_{word}_relu_after_convolutions'] = apply(
      model, model.official_names, entries, read
    ).logits[:, 0]
  return found


HTNETS = {
  'htnet': {},
  'htnet_small': {'width': 24, 'repeats': (1, 1, 2)},
}


def htnet_of(system: str) -> htnet.HTNet:
  """The network of a fixture."""
  settings = _plain(htnet.Settings, mosaic=False, **HTNETS[system])
  return htnet.HTNet(3, settings)


def _htnet(fixture, inputs, entries, key):
  model = htnet_of(fixture['system'])
  read = {'phase_flow': last(inputs['image'])[:, None]}
  return {
    'logits': apply(model, model.official_names, entries, read).logits[:, 0]
  }


def _causalnet(fixture, inputs, entries, key):
  model = causalnet.Network(3, causalnet.Settings())
  images = last(inputs['images'])
  streams = [images[:, :2], images[:, 2:]]
  return {'logits': apply(model, model.official_names, entries, streams)}


class _CausalBlocks(nn.Module):
  """The blocks and the head of CausalNet, of token maps."""

  @nn.compact
  def __call__(self, streams):
    x = causal.Blocks(depth=2, name='blocks')(*streams)
    x = nn.Dense(64, name='hidden')(x.reshape(len(x), -1))
    return nn.Dense(3, name='classifier')(x)


def _causalnet_blocks(fixture, inputs, entries, key):
  names = official.Names(
    (
      (r'^head\.0', 'hidden'),
      (r'^head\.1', 'classifier'),
      *causal.Blocks.official_names.rules,
      (r'^(crosswise_|causal)', r'blocks.\1'),
    ),
    causal.Blocks.official_names.unused,
  )
  streams = list(jnp.moveaxis(tokens(inputs['maps']), 1, 0))
  return {'logits': apply(_CausalBlocks(), names, entries, streams)}


def _biovilt_pooler(fixture, inputs, entries, key):
  [images] = inputs.values()
  side = images.shape[-1]
  current, previous = jnp.moveaxis(tokens(images), 1, 0)
  model = biovilt.Pooler()
  variables = variables_of(
    model, model.official_names, entries, current, previous
  )
  both = maps(model.apply(variables, current, previous), side)
  alone = maps(model.apply(variables, current, None), side)
  pooled = both.mean(axis=(2, 3))[:, :8]
  values = {'pooled': pooled, 'fused': both, 'map_without': alone}
  return {
    name: next(v for start, v in values.items() if name.startswith(start))
    for name in fixture[key]
  }


def _biovilt_encoder(fixture, inputs, entries, key):
  [images] = inputs.values()
  pair = list(jnp.moveaxis(tokens(images), 1, 0))
  parts = [
    {n.removeprefix(p): v for n, v in entries.items() if n.startswith(p)}
    for p in ('encoder.', 'projector.')
  ]
  model = fusions.BioViLT(pool='flatten', width=256)
  projector = biovilt.Projector()
  found = {}
  for word, present in (('with', True), ('without', False)):
    mask = jnp.stack([jnp.ones(len(images), bool)] * 2, axis=1)
    mask = mask.at[:, 1].set(present)
    fused = apply(model, model.official_names, parts[0], pair, mask)
    fused = fused.reshape(len(images), -1, 2 * model.width)
    found[f'global_{word}_previous'] = fused.mean(axis=1)
    found[f'projected_global_{word}_previous'] = apply(
      projector, projector.official_names, parts[1], fused
    )[:, :8]
  return found


def _gban(fixture, inputs, entries, key):
  one, other = (
    jnp.asarray(np.sin(0.017 * np.arange(2 * n * 16)).reshape(2, n, 16))
    for n in (6, 4)
  )
  weights = {
    'aligned_second': 'Wv',
    'aligned_first': 'Wt',
    'aligned_gate': 'Wz_xv',
    'mean_second': 'Wfv',
    'mean_first': 'Wft',
    'mean_gate': 'Wz_fv',
  }
  gate = {
    'params': {
      name: {'kernel': jnp.asarray(entries[theirs])}
      for name, theirs in weights.items()
    }
  }
  scales = {
    'scale_first': entries['att_ta.scale'],
    'scale_second': entries['att_at.scale'],
  }
  found = {}
  for name, score in (('dot', 'dot_tanh'), ('additive', 'additive')):
    alignment = gban.Alignment(score)
    aligned = alignment.apply(
      {'params': jax.tree.map(jnp.asarray, scales)}, one, other
    )
    lasts = one[:, -1], other[:, -1]
    gates = [
      nn.sigmoid(jnp.concatenate(pair[::-1], -1) @ jnp.asarray(entries[theirs]))
      for pair, theirs in ((aligned, 'Wz_xv'), (lasts, 'Wz_fv'))
    ]
    found[name] = {
      'aligned_second': aligned[1],
      'aligned_first': aligned[0],
      'gate_aligned': gates[0],
      'gate_last': gates[1],
      'h': gban.GroupGate(8).apply(gate, aligned, lasts),
    }
  return found


def _fmanet(fixture, inputs, entries, key):
  model = fmanet.FMANet(3, fmanet.Settings(flow='vectors'))
  read = {'phase_flow': last(inputs['flow'])}
  return {
    'logits': apply(model, model.official_names, entries, read).logits[:, 0]
  }


def _skd_tstsan(fixture, inputs, entries, key):
  model = skd_tstsan.SKDTSTSAN(5)
  read = {'skd_tstsan': last(inputs['x'])[:, None]}
  outputs = apply(model, model.official_names, entries, read)
  branches = outputs.auxiliary['logits']
  return {
    'logits': outputs.logits[:, 0],
    'AC1_logits': branches[:, 0],
    'AC2_logits': branches[:, 1],
  }


SLSTTS = {
  'slstt': {
    'width': 768,
    'depth': 12,
    'heads': 12,
    'mlp_width': 3072,
    'lstm_width': 512,
    'lstm_depth': 3,
  },
  'slstt_small': {
    'width': 24,
    'depth': 2,
    'heads': 3,
    'mlp_width': 48,
    'lstm_width': 16,
    'lstm_depth': 3,
    'head_width': 8,
  },
}


def _slstt(fixture, inputs, entries, key):
  read = {'long_term_flow': last(inputs['x'])}
  sizes = SLSTTS[fixture['system']]
  found = {}
  for name, aggregator, names in (
    ('logits', 'lstm', slstt.SLSTT.official_names),
    ('logits_mean_aggregator', 'mean', slstt.SLSTT.mean_names),
  ):
    settings = slstt.Settings(aggregator=aggregator, **sizes)
    model = slstt.SLSTT(5, settings)
    found[name] = apply(model, names, entries, read).logits[:, 0]
  return found


SMALL = {'widths': (8, 16, 24, 32), 'projection': 40}
RETENTIONS = {'tsfmicro_small': SMALL}


def _tsfmicro(fixture, inputs, entries, key):
  [both] = inputs.values()
  onset, apex = last(both[:, :3]), last(both[:, 3:])
  read = {'apex_difference': jnp.stack([apex - onset, onset], axis=1)}
  sizes = RETENTIONS.get(fixture['system'], {})
  found = {}
  for name, antialias in (('logits', False), ('logits_antialias', True)):
    settings = tsfmicro.Settings(normalise='none', antialias=antialias, **sizes)
    model = tsfmicro.TSFmicro(5, settings)
    outputs = apply(model, model.official_names, entries, read)
    found[name] = outputs.logits[:, 0]
  return found


def _gamdss(fixture, inputs, entries, key):
  [images] = inputs.values()
  settings = gamdss.Settings(normalise='none', antialias=False, predicts='both')
  model = gamdss.GAMDSS(5, settings)
  read = {'key_frames': last(images)}
  logits = apply(model, model.official_names, entries, read).logits
  return {'logits_phase1': logits[:, 0], 'logits_phase2': logits[:, 1]}


def _gamdss_small(fixture, inputs, entries, key):
  model = retention.RetentionNet(
    5, retention.Shape(widths=SMALL['widths'], projection=40, position_depth=0)
  )
  names = official.Names(retention.RULES, retention.UNUSED)
  return {
    'logits': apply(
      model,
      names,
      entries,
      last(inputs['motion_image']),
      None,
      place=last(inputs['position_map']),
    )
  }


def _ca_encoder(fixture, inputs, entries, key):
  model = atm_gcn.Encoder()
  [images] = inputs.values()
  found = apply(model, model.official_names, entries, last(images)[:, None])
  return {'pooled': found[:, 0]}


def _atm_gcn_graph(fixture, inputs, entries, key):
  model = atm_gcn.Graph(3)
  [motions] = inputs.values()
  return {
    'logits': apply(model, model.official_names, entries, jnp.asarray(motions))
  }


def _tcm(fixture, inputs, entries, key):
  [described] = fixture['inputs'].values()
  index = np.arange(np.prod(described['shape']))
  x = 0.5 * np.sin((index * index) % 1013).reshape(2, 8, 128, 14, 14)
  x = last(x)
  model = tcm.SlowFastTCM()
  variables = variables_of(model, model.official_names, entries, x)
  motion = {c: v['motion'] for c, v in variables.items()}
  moved = first(jax.jit(tcm.MotionMaps().apply)(motion, x))
  found = first(jax.jit(model.apply)(variables, x))
  added = (found - first(x)).mean(axis=(3, 4))
  means = moved.mean(axis=(3, 4))
  return {
    'mtdm_output': moved.reshape(16, *moved.shape[2:]),
    # The first frame of the first clip, the last one of the last.
    'mtdm_spatial_mean_first_and_last_frame': jnp.stack(
      [means[0, 0], means[-1, -1]]
    ),
    'output': found.reshape(16, *found.shape[2:]),
    'output_minus_input_spatial_mean_first_frame_first_16_channels': (
      added[0, 0, :16]
    ),
    'output_minus_input_spatial_mean_last_frame_first_16_channels': (
      added[-1, -1, :16]
    ),
  }


def _contrastive(fixture, inputs, entries, key):
  phase = float(key.removeprefix('outputs_p'))

  def draw(shape, offset):
    index = np.arange(np.prod(shape))
    values = np.sin(phase + offset + (index * index) % 1009)
    return jnp.asarray(values.reshape(shape))

  places = tokens(draw((3, 8, 3, 3), 0))
  words = draw((3, 8, 4), 0.5).swapaxes(1, 2)
  to_text, to_image = contrastive.global_losses(
    draw((3, 8), 1), draw((3, 8), 1.5)
  )
  local = contrastive.local_losses(places, words)
  q_a, q_b, k_a, k_b = (
    contrastive.normalised(draw((3, 8), offset)) for offset in (2, 2.5, 3, 3.5)
  )
  queue_a, queue_b = (
    contrastive.normalised(draw((5, 8), offset)) for offset in (4, 4.5)
  )
  a = contrastive.queue_logits(q_a, k_b, queue_b)
  b = contrastive.queue_logits(q_b, k_a, queue_a)
  values = (
    to_text,
    to_image,
    *local,
    contrastive.word_attention(places, words)[0, 0, 0],
    contrastive.instance_loss(a),
    contrastive.instance_loss(b),
    contrastive.task_loss(a, b),
    contrastive.task_loss(b, a),
  )
  return dict(zip(fixture[key], values, strict=True))


def skd_batch(fixture: Mapping[str, Any]) -> tuple[Any, objectives.Batch]:
  """Outputs and batch of the fixture of self-distillation."""
  described = fixture['inputs']
  i, wide = np.arange(20), np.arange(4 * 384)
  logits = 4 * np.stack(
    [np.sin(0.37 * i), np.cos(0.31 * i), np.sin(0.53 * i + 1)]
  ).reshape(3, 4, 5)
  features = np.maximum(
    0,
    np.stack(
      [np.sin(0.017 * wide), np.cos(0.029 * wide), np.sin(0.041 * wide + 2)]
    ),
  ).reshape(3, 4, 384)
  labels = jnp.asarray(described['labels'])
  weights = 1 / np.array(described['class_counts'])
  batch = objectives.Batch(
    inputs={},
    labels=labels,
    partner_labels=labels,
    own_weight=jnp.ones(4),
    valid=jnp.ones(4, bool),
    class_weights=jnp.asarray(weights / weights.sum()),
    variables={},
    key=jax.random.key(0),
    apply=None,
  )
  outputs = objectives.Outputs(
    jnp.asarray(logits[0])[:, None],
    {
      'logits': jnp.asarray(logits[1:]).swapaxes(0, 1),
      'features': jnp.asarray(features[0]),
      'head_features': jnp.asarray(features[1:]).swapaxes(0, 1),
    },
  )
  return outputs, batch


def _skd_losses(fixture, inputs, entries, key):
  outputs, batch = skd_batch(fixture)
  objective = distillation.SelfDistillation()
  gamma = objective.settings.focal_gamma
  temperature = objective.settings.temperature
  y, features = outputs.logits[:, 0], outputs.auxiliary['features']
  found = {
    'class_weights': batch.class_weights,
    'focal_main': distillation.focal(y, batch, gamma),
    'focal_main_unweighted': distillation.focal(
      y, batch.replace(class_weights=jnp.ones(5)), gamma
    ),
    'total': objective(outputs, batch, ())[0],
  }
  for branch in range(2):
    name = f'AC{branch + 1}'
    a = outputs.auxiliary['logits'][:, branch]
    learnt = outputs.auxiliary['head_features'][:, branch]
    found |= {
      f'focal_{name}': distillation.focal(a, batch, gamma),
      f'kd_{name} (times T^2)': temperature**2
      * distillation.divergence(y, a, batch, temperature),
      f'feature_{name}': distillation.distance(features, learnt, batch),
    }
  return found


def _mm_cof(fixture, inputs, entries, key):
  from dianet_jax.motion import mm_cof

  shape = fixture['inputs']['flow']['shape']
  flow = 0.5 * np.sin(0.017 * np.arange(np.prod(shape))).reshape(shape)
  flow = jnp.asarray(np.moveaxis(flow, 1, -1))
  magnitude = jnp.sqrt((flow**2).sum(axis=-1))
  low = magnitude.min(axis=(1, 2), keepdims=True)
  high = magnitude.max(axis=(1, 2), keepdims=True)
  scaled = (magnitude - low) / (high - low)
  combined = scaled.mean(axis=0)
  direction, modulated = mm_cof.combine(flow, magnitude)
  length = modulated[..., None]
  vector = jnp.concatenate([direction * length, length], axis=-1)
  return {
    'normalised_magnitude_1': scaled[0],
    'normalised_magnitude_2': scaled[1],
    'combined': combined,
    'threshold': combined.mean(),
    'modulated': modulated,
    'descriptor_vector (3,6,6)': first(vector),
  }


_LOSSES = 'arrays that are described in words'
SYSTEMS: Mapping[str, System] = {
  'ststnet': System(_ststnet),
  'offapexnet': System(_offapexnet),
  'htnet_small': System(_htnet),
  'htnet': System(_htnet),
  'causalnet_blocks': System(_causalnet_blocks),
  'causalnet': System(_causalnet),
  'biovilt_pooler_small': System(_biovilt_pooler),
  'biovilt_pooler': System(_biovilt_pooler),
  'biovilt_encoder': System(_biovilt_encoder),
  'gban_ggf': System(_gban, 'two sets of tokens from one formula'),
  'fmanet_ours': System(_fmanet),
  'skd_tstsan': System(_skd_tstsan),
  'slstt_small': System(_slstt),
  'slstt': System(_slstt),
  'tsfmicro_small': System(_tsfmicro),
  'tsfmicro': System(_tsfmicro),
  'gamdss_small': System(_gamdss_small),
  'gamdss': System(_gamdss),
  'ca_encoder': System(_ca_encoder),
  'atm_gcn_graph_ours': System(_atm_gcn_graph),
  'tcm': System(_tcm, '0.5*sin((i*i) mod 1013)'),
  'contrastive_losses': System(
    _contrastive, _LOSSES, ('outputs_p0', 'outputs_p1')
  ),
  'skd_losses': System(_skd_losses, _LOSSES, ('outputs',)),
  'mm_cof': System(_mm_cof, 'a flow of 6 x 6', ('outputs',)),
}
