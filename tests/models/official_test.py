"""Weights of other code: names, order of axes, and what is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import numpy as safetensors

from dianet_jax.core import errors
from dianet_jax.models import layers, official


class Small(nn.Module):
  """One of each kind of entry."""

  @nn.compact
  def __call__(self, x):
    """An image -> two numbers."""
    x = layers.Conv(4, (3, 2), name='convolution')(x)
    x = layers.BatchNorm(name='norm')(x, None, False)
    x = x.reshape(len(x), -1, 4)
    x = x + self.param('table', nn.initializers.zeros, x.shape[1:])
    x = layers.Attention(2, name='attention')(x).mean(axis=1)
    return nn.Dense(2, name='classifier')(x)


NAMES = official.Names(
  (
    (r'^stem\.0', 'convolution'),
    (r'^stem\.1', 'norm'),
    (r'^pos$', 'table'),
    (r'^qkv', 'attention.query|key|value'),
    (r'^proj', 'attention.out'),
    (r'^head', 'classifier'),
  ),
  unused=(r'mask\..*',),
)
SHAPES = {
  'stem.0.weight': (4, 3, 3, 2),
  'stem.0.bias': (4,),
  'stem.1.weight': (4,),
  'stem.1.bias': (4,),
  'stem.1.running_mean': (4,),
  'stem.1.running_var': (4,),
  'stem.1.num_batches_tracked': (),
  'pos': (1, 25, 4),
  'qkv.weight': (12, 4),
  'qkv.bias': (12,),
  'proj.weight': (4, 4),
  'proj.bias': (4,),
  'mask.weight': (7, 7),
  'head.weight': (2, 4),
  'head.bias': (2,),
}


@pytest.fixture
def tensors():
  rng = np.random.default_rng(0)
  return {
    name: rng.uniform(0.5, 1, shape).astype(np.float32)
    for name, shape in SHAPES.items()
  }


@pytest.fixture(scope='module')
def variables():
  return Small().init(jax.random.key(0), jnp.zeros((1, 5, 5, 3)))


def test_every_entry_has_its_place(variables, tensors):
  loaded = official.load(NAMES, variables, tensors)
  params = loaded.variables['params']
  kernel = params['convolution']['kernel']
  assert kernel.shape == (3, 2, 3, 4)
  assert kernel[2, 1, 0, 3] == tensors['stem.0.weight'][3, 0, 2, 1]
  np.testing.assert_array_equal(
    params['attention']['key']['kernel'], tensors['qkv.weight'][4:8].T
  )
  np.testing.assert_array_equal(
    params['attention']['value']['bias'], tensors['qkv.bias'][8:]
  )
  np.testing.assert_array_equal(params['table'], tensors['pos'][0])
  statistics = loaded.variables['batch_stats']['norm']
  np.testing.assert_array_equal(
    statistics['var'], tensors['stem.1.running_var']
  )
  np.testing.assert_array_equal(
    params['norm']['scale'], tensors['stem.1.weight']
  )
  assert jax.tree.structure(loaded.variables) == jax.tree.structure(variables)
  assert Small().apply(loaded.variables, jnp.ones((1, 5, 5, 3))).shape == (1, 2)


def test_the_report_names_every_entry(variables, tensors):
  loaded = official.load(NAMES, variables, tensors)
  assert set(loaded.unused) == {'mask.weight', 'stem.1.num_batches_tracked'}
  assert set(loaded.used) | set(loaded.unused) == set(SHAPES)
  assert loaded.used['qkv.bias'] == tuple(
    f'params.attention.{name}.bias' for name in ('query', 'key', 'value')
  )
  lines = loaded.report().splitlines()
  assert 'mask.weight: unused' in lines
  assert 'pos -> params.table' in lines
  assert len(lines) == len(SHAPES)


def test_a_classifier_of_other_classes_stays(variables, tensors):
  tensors['head.weight'] = np.zeros((5, 4), np.float32)
  with pytest.raises(
    errors.UserError, match=r'head.weight.*\(4, 5\).*\(4, 2\)'
  ):
    official.load(NAMES, variables, tensors)
  loaded = official.load(NAMES, variables, tensors, keep=('classifier',))
  np.testing.assert_array_equal(
    loaded.variables['params']['classifier']['kernel'],
    variables['params']['classifier']['kernel'],
  )
  assert 'params.classifier.kernel: unchanged' in loaded.report()


def test_what_does_not_fit_is_named(variables, tensors):
  with pytest.raises(errors.UserError, match='extra.weight.*params.extra.ker'):
    official.load(NAMES, variables, tensors | {'extra.weight': np.zeros(3)})
  del tensors['proj.bias']
  with pytest.raises(errors.UserError, match='params.attention.out.bias'):
    official.load(NAMES, variables, tensors)


def test_types(variables, tensors):
  with jax.enable_x64(True):
    loaded = official.load(NAMES, variables, tensors, dtype=np.float64)
  assert {x.dtype.name for x in jax.tree.leaves(loaded.variables)} == {
    'float64'
  }
  wide = {name: value.astype(np.float64) for name, value in tensors.items()}
  loaded = official.load(NAMES, variables, wide)
  assert {x.dtype.name for x in jax.tree.leaves(loaded.variables)} == {
    'float32'
  }


def test_files(tensors, tmp_path):
  safetensors.save_file(tensors, tmp_path / 'weights.safetensors')
  np.savez(tmp_path / 'weights.npz', **tensors)
  for name in ('weights.safetensors', 'weights.npz'):
    read = official.read(tmp_path / name)
    assert read.keys() == tensors.keys()
    jax.tree.map(np.testing.assert_array_equal, read, tensors)


def test_nothing_in_a_file_is_executed(tmp_path):
  class Harm:
    def __reduce__(self):
      return (tmp_path.joinpath('harm').touch, ())

  np.savez(tmp_path / 'harm.npz', entry=np.array([Harm()], dtype=object))
  with pytest.raises(errors.UserError, match='harm.npz.*objects'):
    official.read(tmp_path / 'harm.npz')
  assert not (tmp_path / 'harm').exists()
  (tmp_path / 'weights.pth').write_bytes(b'')
  with pytest.raises(errors.UserError, match='pickle'):
    official.read(tmp_path / 'weights.pth')
  with pytest.raises(errors.UserError, match='none.npz'):
    official.read(tmp_path / 'none.npz')
  (tmp_path / 'cut.safetensors').write_bytes(b'1234')
  with pytest.raises(errors.UserError, match='cut.safetensors'):
    official.read(tmp_path / 'cut.safetensors')
