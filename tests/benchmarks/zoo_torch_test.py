"""Networks of the zoo in PyTorch are those of its rows."""

import jax
import pytest

from configs import zoo
from dianet_jax.experiments import configuration, rows, rules
from dianet_jax.models import registry as models
from dianet_jax.motion import registry as motion

CLIPS, CLASSES = 2, 3


def _rows():
  """No variants of DIANet; of two recipes, the second if its loss differs."""
  values = zoo.get_config().to_dict()
  for row in rows.parse(configuration.from_mapping(values)):
    own = row.name.endswith('own recipe')
    if own and row.config.objective.name == 'cross_entropy':
      continue
    if not row.name.startswith('DIANet, '):
      yield row.name, row.config


def _parameters(config, specs):
  feed = rules.feed(config)
  phases = motion.phases(feed, config.data)
  model = models.build(CLASSES, config.model, phases)
  inputs = {
    name: jax.ShapeDtypeStruct((1, *spec.shape), spec.dtype)
    for name, spec in specs.items()
  }
  shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
  return sum(leaf.size for leaf in jax.tree.leaves(shapes['params']))


def test_every_network_of_a_row_takes_a_step():
  pytest.importorskip('torch')
  from benchmarks.peers import zoo_torch

  met = set()
  for name, config in _rows():
    if config.model.name not in zoo_torch.NETWORKS:
      continue
    met.add(config.model.name)
    specs = motion.specs(rules.feed(config), config.data)
    parameters = _parameters(config, specs)
    arguments = config.model, config.objective.name, specs, CLIPS, CLASSES
    step = zoo_torch.step_of(*arguments, parameters)
    assert step, name
    step()
    assert not zoo_torch.step_of(*arguments, parameters + 1), name
  assert met == set(zoo_torch.NETWORKS)
