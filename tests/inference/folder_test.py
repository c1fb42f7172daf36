"""A bundle is read as it was written, or refused with the reason."""

import dataclasses
import json
import subprocess

import jax
import jax.export
import numpy as np
import pytest
import safetensors.numpy

import dianet_jax
from dianet_jax.core import errors
from dianet_jax.inference import folder as folder_lib
from tests.support import small_bundles
from tests.support.small_bundles import written


@pytest.fixture(scope='module')
def bundle():
  return small_bundles.make()


@pytest.fixture
def folder(written, tmp_path):
  copy = tmp_path / 'copy'
  copy.mkdir()
  for file in written.iterdir():
    (copy / file.name).write_bytes(file.read_bytes())
  return copy


def seal(folder):
  """Updates the checksums, as someone who changes a bundle would."""
  (folder / 'SHA256SUMS').write_text(
    ''.join(
      f'{folder_lib._digest(folder / name)}  {name}\n'
      for name in folder_lib._NAMES
    )
  )


def edit(folder, name, **values):
  stored = json.loads((folder / name).read_text())
  (folder / name).write_text(json.dumps(stored | values))
  seal(folder)


def test_what_is_read_is_what_was_written(bundle, written):
  loaded = dianet_jax.load_bundle(written)
  for field in dataclasses.fields(bundle):
    if field.name != 'members':
      assert getattr(loaded, field.name) == getattr(bundle, field.name)
  jax.tree.map(np.testing.assert_array_equal, loaded.members, bundle.members)
  inputs = small_bundles.inputs(bundle, 3)
  np.testing.assert_array_equal(
    loaded.probabilities(inputs), bundle.probabilities(inputs)
  )


def test_reading_compiles_what_predicts_a_clip(bundle, written):
  loaded = dianet_jax.load_bundle(written)
  loaded.probabilities(small_bundles.inputs(bundle, 1))
  assert loaded._compiled._cache_size() == 1


def test_other_programs_can_verify_and_run_it(bundle, written):
  checked = subprocess.run(
    ['sha256sum', '--check', '--strict', 'SHA256SUMS'],
    cwd=written,
    capture_output=True,
  )
  assert checked.returncode == 0
  stored = (written / 'model.stablehlo').read_bytes()
  program = jax.export.deserialize(bytearray(stored))
  assert set(program.platforms) == {'cpu', 'cuda', 'tpu'}
  call = jax.jit(program.call)
  for clips in (1, 3):
    inputs = small_bundles.inputs(bundle, clips)
    np.testing.assert_allclose(
      call(tuple(map(dict, bundle.members)), inputs),
      bundle.log_probabilities_of(inputs),
      atol=1e-5,
    )


def test_the_card_has_results_and_limits(written):
  text = (written / 'README.md').read_text()
  for words in (
    'SIMULATED',
    '| UF1 | 0.500 | 0.400 to 0.600 | 0.200 to 0.400 |',
    '9 clips of 3 subjects',
    'cannot be scored',
    'Lie detection',
  ):
    assert words in text


@pytest.mark.parametrize('name', folder_lib._NAMES)
def test_a_changed_file_is_refused(folder, name):
  content = bytearray((folder / name).read_bytes())
  content[len(content) // 2] ^= 1
  (folder / name).write_bytes(content)
  with pytest.raises(errors.UserError, match=f'{name} is not the exp'):
    folder_lib.load(folder)


def test_a_folder_that_is_not_a_bundle_is_refused(folder, tmp_path):
  (folder / 'example.npz').unlink()
  with pytest.raises(errors.UserError, match=r'bundle: example\.npz'):
    folder_lib.load(folder)
  with pytest.raises(errors.UserError, match=r'not a bundle: bundle'):
    folder_lib.load(tmp_path / 'nowhere')


@pytest.mark.parametrize(
  'name,values,reason',
  [
    ('bundle.json', {'schema': 2}, 'has schema 2, but this version reads 1'),
    ('bundle.json', {'classes': ['one']}, 'classifier/bias is float32'),
    ('bundle.json', {'classes': 3}, 'not iterable'),
    ('bundle.json', {'members': 3}, '2/.* is missing, expected float32'),
    ('bundle.json', {'members': 1}, '1/.*expected missing'),
    ('bundle.json', {'data': {'nonsense': 1}}, 'not a configuration key'),
    ('bundle.json', {'data': {'image_size': 16}}, 'expected .*16'),
    ('bundle.json', {'model': {'name': 'nobody'}}, 'nobody'),
    ('bundle.json', {'inputs': {}}, 'inputs {}, expected'),
    ('calibration.json', {'temperature': 0}, 'temperature 0'),
    ('calibration.json', {'temperature': 'hot'}, 'not supported'),
  ],
)
def test_inconsistent_contents_are_refused(folder, name, values, reason):
  edit(folder, name, **values)
  with pytest.raises(errors.UserError, match=reason):
    folder_lib.load(folder)


def change_weights(folder, change):
  path = folder / 'weights.safetensors'
  weights = dict(safetensors.numpy.load_file(path))
  change(weights)
  path.write_bytes(safetensors.numpy.save(weights))
  seal(folder)


KEY = '0/params/classifier/kernel'


def test_weights_of_another_shape_are_refused(folder):
  def shape(weights):
    weights[KEY] = weights[KEY][:, :2].copy()

  change_weights(folder, shape)
  with pytest.raises(errors.UserError, match=f'{KEY} is float32 .*expected'):
    folder_lib.load(folder)


def test_weights_that_are_not_finite_are_refused(folder):
  def poison(weights):
    weights[KEY][0, 0] = np.nan

  change_weights(folder, poison)
  with pytest.raises(errors.UserError, match='NaN or infinite'):
    folder_lib.load(folder)


def test_weights_with_other_outputs_are_refused(folder):
  def turn(weights):
    weights[KEY] *= -1

  change_weights(folder, turn)
  with pytest.raises(errors.UserError, match='the outputs of the networks'):
    folder_lib.load(folder)


class Evil:
  """Runs if it is unpickled."""

  def __reduce__(self):
    return (pytest.fail, ('a pickle was read',))


def test_nothing_is_unpickled(folder):
  evil = np.array([Evil()], dtype=object)
  np.savez(folder / 'example.npz', log_probabilities=evil)
  seal(folder)
  with pytest.raises(errors.UserError, match=r'example\.npz'):
    folder_lib.load(folder)


def test_no_folder_is_overwritten(bundle, written):
  before = (written / 'bundle.json').read_bytes()
  with pytest.raises(errors.UserError, match='exists already'):
    folder_lib.save(bundle, written)
  assert (written / 'bundle.json').read_bytes() == before
