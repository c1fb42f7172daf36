"""The folder of simulated data: complete or absent, reused, never mixed."""

import shutil

import pytest

from dianet_jax.core import errors
from tests.support.simulated_trees import SHEETS, SMALL, contents
from tfds_builders import manifest, simulate
from tfds_builders.simulation import motion as motion_lib


def test_an_interrupted_call_leaves_nothing(tmp_path):
  def interrupt(items, description, total):
    assert total == 10
    for count, item in enumerate(items):
      if count == 3:
        raise KeyboardInterrupt
      yield item

  with pytest.raises(KeyboardInterrupt):
    simulate.write('mmew', tmp_path / 'root', track=interrupt, **SMALL)
  assert not list(tmp_path.iterdir())


def test_an_error_in_a_clip_is_raised_and_leaves_nothing(tmp_path, monkeypatch):
  def fail(*arguments, **options):
    raise OSError('No space left on device')

  monkeypatch.setattr(motion_lib, 'film', fail)
  with pytest.raises(errors.UserError, match='root: No space'):
    simulate.write('mmew', tmp_path / 'root', **SMALL)
  assert not list(tmp_path.iterdir())


def test_an_existing_tree_of_the_same_parameters_is_reused(tmp_path):
  root = tmp_path / 'new' / 'root'
  assert simulate.write('mmew', root, **SMALL) == root
  times = {path: path.stat().st_mtime_ns for path in root.rglob('*')}

  def never(items, description, total):
    raise AssertionError('written again')

  assert simulate.write('mmew', str(root), track=never, **SMALL) == root
  assert times == {path: path.stat().st_mtime_ns for path in root.rglob('*')}


def test_a_tree_of_an_older_command_is_reused(tmp_path):
  root = simulate.write('mmew', tmp_path / 'root', **SMALL)
  description = root / 'SIMULATED.md'
  text = description.read_text(encoding='utf-8')
  older = text.replace('dianet simulate', 'another command')
  assert older != text
  description.write_text(older, encoding='utf-8')
  assert simulate.write('mmew', root, **SMALL) == root
  description.write_text(older.replace('"seed": 0', '"seed": 1'))
  with pytest.raises(errors.UserError, match='"seed": 1'):
    simulate.write('mmew', root, **SMALL)


def test_a_tree_made_with_other_parameters_is_refused(trees):
  before = contents(trees['casme2'])
  with pytest.raises(errors.UserError, match='"seed": 0') as refused:
    simulate.write('casme2', trees['casme2'], **{**SMALL, 'seed': 5})
  assert str(trees['casme2']) in str(refused.value)
  assert '"subjects"' not in str(refused.value)
  with pytest.raises(errors.UserError, match='"dataset": "casme2"'):
    simulate.write('samm', trees['casme2'], **SMALL)
  assert contents(trees['casme2']) == before


def test_real_data_are_never_mixed_with_simulated(tmp_path):
  (tmp_path / 'Cropped').mkdir()
  with pytest.raises(errors.UserError, match='must not be mixed'):
    simulate.write('casme2', tmp_path, **SMALL)
  assert [path.name for path in tmp_path.iterdir()] == ['Cropped']


def test_an_empty_folder_is_filled(tmp_path):
  (tmp_path / 'root').mkdir()
  root = simulate.write(
    'mmew', tmp_path / 'root', **{**SMALL, 'subjects': 1}
  )  # fmt: skip
  assert (root / 'MMEW_Micro_Exp.xlsx').is_file()


@pytest.mark.parametrize(
  'name, value',
  [('subjects', 0), ('clips_per_subject', -1), ('seed', -1),
   ('frame_height', 8), ('frame_width', 230.0), ('subjects', 10**8),
   ('clips_per_subject', 10**9), ('seed', 2**63), ('frame_height', 70_000)],
)  # fmt: skip
def test_a_number_out_of_range_is_refused_by_name(tmp_path, name, value):
  with pytest.raises(errors.UserError, match=f'{name} is {value}'):
    simulate.write('casme2', tmp_path / 'root', **{**SMALL, name: value})
  assert not list(tmp_path.iterdir())


def _frame(root):
  return sorted(root.rglob('*.jpg'))[7]


def _flip_a_bit(root):
  data = bytearray(_frame(root).read_bytes())
  data[len(data) // 2] ^= 1
  _frame(root).write_bytes(data)


_TREE_DAMAGE = {
  'a frame taken': lambda root: _frame(root).unlink(),
  'a frame empty': lambda root: _frame(root).write_bytes(b''),
  'a bit of a frame flipped': _flip_a_bit,
  'a clip taken': lambda root: shutil.rmtree(_frame(root).parent),
  'no spreadsheet': lambda root: (root / SHEETS['mmew']).unlink(),
  'no description': lambda root: (root / 'SIMULATED.md').unlink(),
  'no manifest': lambda root: (root / manifest.NAME).unlink(),
}


_IN_CACHE_DAMAGE = {
  'another description': (
    lambda root: (root / 'SIMULATED.md').write_bytes(b'\xff```json\n{')
  ),
  'neither description nor manifest': lambda root: (
    (root / 'SIMULATED.md').unlink(),
    (root / manifest.NAME).unlink(),
  ),
  'a file': lambda root: (shutil.rmtree(root), root.touch()),
}


@pytest.mark.parametrize(
  'kind, in_cache',
  [(kind, False) for kind in _TREE_DAMAGE]
  + [(kind, True) for kind in _IN_CACHE_DAMAGE],
)
def test_a_damaged_tree_is_rebuilt(trees, tmp_path, capsys, kind, in_cache):
  root = tmp_path / 'mmew'
  shutil.copytree(trees['mmew'], root)
  (_TREE_DAMAGE | _IN_CACHE_DAMAGE)[kind](root)
  simulate.write('mmew', root, in_cache=in_cache, **SMALL)
  assert contents(root) == contents(trees['mmew'])
  output = capsys.readouterr().out
  assert output.startswith(f'{root} is damaged (')
  assert len(output.splitlines()) == 1
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    '.mmew.damaged-1',
    'mmew',
  ]


@pytest.mark.parametrize('kind', _IN_CACHE_DAMAGE)
def test_folders_that_may_hold_real_data_are_not_changed(trees, tmp_path, kind):
  root = tmp_path / 'mmew'
  shutil.copytree(trees['mmew'], root)
  _IN_CACHE_DAMAGE[kind](root)
  before = contents(root)
  with pytest.raises(errors.UserError, match=str(root)):
    simulate.write('mmew', root, **SMALL)
  assert contents(root) == before


@pytest.mark.parametrize(
  'numbers, message',
  [
    ({'subjects': 2001, 'clips_per_subject': 10}, '20010 clips'),
    ({'subjects': 100, 'frame_height': 2048, 'frame_width': 2048},
     'do not fit in memory'),
  ],
)  # fmt: skip
def test_too_many_clips_are_refused_before_anything_is_written(
  tmp_path, monkeypatch, numbers, message
):
  monkeypatch.setattr(simulate, '_write_tree', None)
  with pytest.raises(errors.UserError, match=message):
    simulate.write('casme2', tmp_path / 'root', **numbers)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('root', ['file/below', 'file'])
def test_a_root_that_cannot_be_created_is_refused(tmp_path, root):
  (tmp_path / 'file').write_text('mine')
  with pytest.raises(errors.UserError, match=root):
    simulate.write('mmew', tmp_path / root, **SMALL)
  assert (tmp_path / 'file').read_text() == 'mine'


def test_an_unknown_data_set_is_refused(tmp_path):
  with pytest.raises(
    errors.UserError, match="'smic'.*no layout.*casme2, mmew, samm"
  ):
    simulate.write('smic', tmp_path / 'root')


def test_the_command_line_says_what_to_do_next(tmp_path, capsys):
  root = tmp_path / 'a root'
  arguments = ['--dataset=mmew', f'--root={root}', '--subjects=1',
               '--clips_per_subject=2', '--frame_height=48',
               '--frame_width=40']  # fmt: skip
  simulate.main(arguments)
  output = capsys.readouterr().out
  assert '2 simulated clips' in output
  assert (
    'python main.py --config=configs/mmew.py '
    f"--config.data.manual_dir='{root}'\n" in output
  )
  with pytest.raises(SystemExit, match='error: .*other parameters'):
    simulate.main([*arguments, '--seed=3'])
  with pytest.raises(SystemExit, match="error: Cannot simulate.*'smic'"):
    simulate.main(['--dataset=smic', f'--root={root}'])
