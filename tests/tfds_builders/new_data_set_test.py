"""A data set of another package is one folder, and no other file changes."""

import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import pytest
from tensorflow_datasets.core import registered

from dianet_jax.core import errors
from tests.support import documents, raw_trees
from tfds_builders import check, prepare, protocols, registry, simulate

_ROOT = pathlib.Path(__file__).parents[2]
_NAME = 'toyset'
# What CONTRIBUTING.md shows.
_SOURCES = documents.files('CONTRIBUTING.md')


def _write_folder(folder, package):
  files = {
    '__init__.py': '',
    'facts.py': _SOURCES[f'{_NAME}/facts.py'],
    f'{_NAME}_dataset_builder.py': _SOURCES[
      f'{_NAME}/{_NAME}_dataset_builder.py'
    ].format(package=package),
    'README.md': '# Toys\n',
    'CITATIONS.bib': '@misc{toys}\n',
    'TAGS.txt': 'ml.task.image-classification # Images.\n',
  }
  folder.mkdir(parents=True)
  for name, text in files.items():
    (folder / name).write_text(text)


@pytest.fixture
def new_set(tmp_path, monkeypatch):
  """A registered data set in a package elsewhere."""
  package = f'their_lab.{_NAME}'
  _write_folder(tmp_path / 'their_lab' / _NAME, package)
  (tmp_path / 'their_lab' / '__init__.py').touch()
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setattr(registry, '_registered', {})
  registry.register(_NAME, package)
  # TFDS keeps a name for good; here it means another class in each test.
  with registered.skip_registration():
    yield
  for name in [n for n in sys.modules if n.startswith('their_lab')]:
    del sys.modules[name]


def _tree(root):
  """Four clips in the layout of the new set, with its own spreadsheet."""
  rows = [
    (person, f'take{take}', 1, 5, 9, emotion)
    for person in ('P1', 'P2')
    for take, emotion in ((1, 'glad'), (2, 'sad'))
  ]
  header = ('Subject', 'Filename', 'Onset', 'Apex', 'Offset', 'Emotion')
  raw_trees.write_sheet(root / 'toys.xlsx', rows, header)
  for person, take, *_ in rows:
    folder = root / 'Toys' / person / take
    raw_trees.write_clip(folder, range(1, 10), 'f{}.jpg', apex=5)
  return root


def test_it_is_one_of_the_data_sets(new_set):
  assert _NAME in registry.names()
  assert registry.builder(_NAME).FACTS is registry.facts(_NAME)
  protocol = protocols.get('toyset_2class')
  assert protocol.datasets == (_NAME,)
  assert protocol.class_of('P1/take1', 'Sad') == 1
  assert 'toyset_2class' in protocols.names()
  with pytest.raises(errors.UserError, match="did you mean 'toyset'"):
    registry.facts('toyst')


def test_it_is_prepared(new_set, tmp_path):
  root = _tree(tmp_path / 'raw')
  prepared = prepare.prepare(_NAME, root, tmp_path / 'cache')
  ids = [record['clip_id'].decode() for record in prepared.source]
  assert ids == ['P1/take1', 'P1/take2', 'P2/take1', 'P2/take2']
  assert prepared.source[1]['dataset'] == b'toyset'
  assert prepared.source[1]['emotion'] == b'sad'
  assert prepared.source[1]['apex'] == 4
  assert prepare.prepare(_NAME, root, tmp_path / 'cache').from_cache


def test_it_is_checked(new_set, tmp_path, capsys):
  root = _tree(tmp_path / 'raw')
  arguments = [f'--dataset={_NAME}', f'--manual_dir={root}']
  assert check.main([*arguments, '--json']) == 0
  report = json.loads(capsys.readouterr().out)
  assert report['verdict'] == 'ready' and report['problems'] == []
  assert report['expected_clips'] == [4]
  counts = report['protocols']['toyset_2class']
  assert counts == {
    'clips': {'glad': 2, 'sad': 2},
    'folds': 2,
    'differences': [],
  }
  # It has no configuration of its own.
  assert report['next_command'] == (
    'python main.py --config=configs/default.py'
    f' --config.data.manual_dir={root} --config.data.protocol=toyset_2class'
    ' --config.data.dataset=toyset'
  )


def test_it_is_simulated(new_set, tmp_path, capsys):
  root = tmp_path / 'drawn'
  simulate.main(
    [f'--dataset={_NAME}', f'--root={root}', '--subjects=2',
     '--clips_per_subject=2', '--frame_height=56', '--frame_width=46']
  )  # fmt: skip
  assert '--config.data.dataset=toyset' in capsys.readouterr().out
  assert (root / 'toys.xlsx').is_file()
  report = check.check(_NAME, root)
  assert report.simulated and report.verdict == 'ready'
  assert report.emotions == {'glad': 2, 'sad': 2}
  prepared = prepare.prepare(_NAME, root, tmp_path / 'cache')
  assert len(prepared.source) == 4 and prepared.simulated


def test_a_folder_beside_the_others_is_enough(tmp_path):
  """In a copy of `tfds_builders`: nothing else there or elsewhere changes."""
  shutil.copytree(_ROOT / 'tfds_builders', tmp_path / 'tfds_builders')
  (tmp_path / 'dianet_jax').symlink_to(_ROOT / 'dianet_jax')
  folder = tmp_path / 'tfds_builders' / _NAME
  _write_folder(folder, f'tfds_builders.{_NAME}')
  _tree(tmp_path / 'raw')
  program = textwrap.dedent("""
    from tfds_builders import check, prepare, protocols, simulate
    assert protocols.get('toyset_2class').datasets == ('toyset',)
    assert len(prepare.prepare('toyset', 'raw', 'cache').source) == 4
    assert check.check('toyset', 'raw').verdict == 'ready'
    root = simulate.write('toyset', 'drawn', subjects=1, clips_per_subject=2)
    assert check.check('toyset', root).clips == 2
  """)
  subprocess.run(
    [sys.executable, '-c', program],
    cwd=tmp_path,
    env=os.environ | {'PYTHONPATH': str(tmp_path)},
    check=True,
  )


def test_registering_a_name_twice_is_refused(new_set):
  with pytest.raises(errors.UserError, match='their_lab.toyset has'):
    registry.register(_NAME, 'another.toyset')
  with pytest.raises(errors.UserError, match='tfds_builders.casme2 has'):
    registry.register('casme2', 'another.casme2')
  # A configuration that registers is read more than once.
  registry.register(_NAME, 'their_lab.toyset')
  assert registry.names().count(_NAME) == 1


def test_a_protocol_that_two_sets_declare_differently_is_refused(
  new_set, monkeypatch
):
  other = protocols.of_emotions(_NAME, {'glad': 1, 'sad': 1}, 2)
  declared = registry.facts(_NAME).protocols
  monkeypatch.setitem(declared, 'casme2_5class', other)
  with pytest.raises(errors.UserError, match='by the data sets casme2 and toy'):
    protocols.get('casme2_5class')


def test_facts_are_read_without_tfds():
  program = textwrap.dedent("""
    import sys
    from tfds_builders import protocols, registry
    for name in registry.names():
      registry.facts(name)
    protocols.get('megc2019_3class')
    assert not {'tensorflow_datasets', 'jax'} & set(sys.modules)
  """)
  subprocess.run([sys.executable, '-c', program], cwd=_ROOT, check=True)


def test_which_sets_hold_images_instead_of_frames():
  stored = {n: registry.facts(n).stored for n in registry.names()}
  assert {n: s for n, s in stored.items() if s} == {
    'megc2019_flow': 'phase_flow'
  }
  for name, representation in stored.items():
    frames = registry.builder(name).IMAGE_FEATURES == ('frames',)
    assert frames == (not representation)


def test_configurations_are_there_and_train_on_their_set():
  for name in registry.names():
    path = _ROOT / registry.facts(name).config
    assert path.is_file(), name
    module = importlib.import_module(f'configs.{path.stem}')
    config = module.get_config()
    assert config.data.dataset == name
    assert config.data.protocol in registry.facts(name).protocols
