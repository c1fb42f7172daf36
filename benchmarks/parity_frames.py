"""Networks of frames, as `benchmarks.parity` runs its fixtures."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.parity_apply import apply, first, last, variables_of
from dianet_jax.models import official
from dianet_jax.models.zoo import (
  atm_gcn,
  gamdss,
  retention,
  skd_tstsan,
  slstt,
  tcm,
  tsfmicro,
)


def run_skd_tstsan(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
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


def run_slstt(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  read = {'long_term_flow': last(inputs['x'])}
  sizes = SLSTTS[fixture['system']]
  found = {}
  for name, aggregator, names in (
    ('logits', 'lstm', slstt.SLSTT.official_names),
    ('logits_mean_aggregator', 'mean', slstt.SLSTT.mean_names),
  ):
    settings = slstt.SLSTT.Settings(
      aggregator=aggregator, normalise='none', **sizes
    )
    model = slstt.SLSTT(5, settings)
    found[name] = apply(model, names, entries, read).logits[:, 0]
  return found


SMALL = {'widths': (8, 16, 24, 32), 'projection': 40}
RETENTIONS = {'tsfmicro_small': SMALL}


def run_tsfmicro(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  [both] = inputs.values()
  onset, apex = last(both[:, :3]), last(both[:, 3:])
  read = {'apex_difference': jnp.stack([apex - onset, onset], axis=1)}
  sizes = RETENTIONS.get(fixture['system'], {})
  found = {}
  for name, antialias in (('logits', False), ('logits_antialias', True)):
    settings = tsfmicro.TSFmicro.Settings(
      normalise='none', antialias=antialias, **sizes
    )
    model = tsfmicro.TSFmicro(5, settings)
    outputs = apply(model, model.official_names, entries, read)
    found[name] = outputs.logits[:, 0]
  return found


def run_gamdss(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  [images] = inputs.values()
  settings = gamdss.GAMDSS.Settings(normalise='none', antialias=False)
  model = gamdss.GAMDSS(5, settings)
  read = {'key_frames': last(images)}
  outputs = apply(model, model.official_names, entries, read)
  return {
    'logits_phase1': outputs.logits[:, 0],
    # The head that is trained and does not predict.
    'logits_phase2': outputs.auxiliary['logits'][:, 0],
  }


def run_gamdss_small(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
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


def run_ca_encoder(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  model = atm_gcn.Encoder()
  [images] = inputs.values()
  found = apply(model, model.official_names, entries, last(images)[:, None])
  return {'pooled': found[:, 0]}


def run_atm_gcn_graph(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  model = atm_gcn.Graph(3)
  [motions] = inputs.values()
  return {
    'logits': apply(model, model.official_names, entries, jnp.asarray(motions))
  }


def run_tcm(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
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
