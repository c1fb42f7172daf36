"""Networks and fusions of flow, as `benchmarks.parity` runs its fixtures."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.parity_apply import apply, last, maps, tokens, variables_of
from dianet_jax.models import fusions, official
from dianet_jax.models.fusions import biovilt, causal, gban
from dianet_jax.models.zoo import (
  causalnet,
  fmanet,
  htnet,
  offapexnet,
  ststnet,
)


def _plain(settings: type, **options: Any) -> Any:
  """Settings under which images reach a flow network as they are."""
  return settings(channel_order='rgb', input_scale=1, **options)


def run_ststnet(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  model = ststnet.STSTNet(3, _plain(ststnet.STSTNet.Settings))
  read = {'phase_flow': last(inputs['image'])[:, None]}
  return {
    'logits': apply(model, model.official_names, entries, read).logits[:, 0]
  }


def run_offapexnet(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  read = {'phase_flow': last(inputs['flow'])[:, None]}
  found = {}
  for word, relu in (('no', False), ('with', True)):
    settings = _plain(offapexnet.OffApexNet.Settings, conv_relu=relu)
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
  settings = _plain(htnet.HTNet.Settings, mosaic=False, **HTNETS[system])
  return htnet.HTNet(3, settings)


def run_htnet(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  model = htnet_of(fixture['system'])
  read = {'phase_flow': last(inputs['image'])[:, None]}
  return {
    'logits': apply(model, model.official_names, entries, read).logits[:, 0]
  }


def run_causalnet(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  model = causalnet.Network(3, causalnet.CausalNet.Settings())
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


def run_causalnet_blocks(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
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


def run_biovilt_pooler(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
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


def run_biovilt_encoder(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
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


def run_gban(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
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


def run_fmanet(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  model = fmanet.FMANet(3, fmanet.FMANet.Settings(flow='vectors'))
  read = {'phase_flow': last(inputs['flow'])}
  return {
    'logits': apply(model, model.official_names, entries, read).logits[:, 0]
  }
