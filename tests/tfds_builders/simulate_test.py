"""Simulated raw data: layouts, motions, and that a tree is whole or absent."""

import re
import shutil

import cv2
import numpy as np
import openpyxl
import pytest

from dianet_jax.core import errors
from tfds_builders import manifest, registry, simulate
from tfds_builders.simulation import faces as faces_lib
from tfds_builders.simulation import layouts as layouts_lib
from tfds_builders.simulation import motion as motion_lib

SMALL = {
  'subjects': 2,
  'clips_per_subject': 5,
  'frame_height': 56,
  'frame_width': 46,
}
SHEETS = {
  'casme2': 'CASME2-coding-20140508.xlsx',
  'samm': 'SAMM_Micro_FACS_Codes_v2.xlsx',
  'mmew': 'MMEW_Micro_Exp.xlsx',
}
FRAME_PATHS = {
  'casme2': r'Cropped/sub\d\d/EP\d\d_\d\df?/reg_img[1-9]\d*\.jpg',
  'samm': r'SAMM/(\d{3})/\1_[1-7]_\d+/\1_\d{5}\.jpg',
  'mmew': r'MMEW_Final/Micro_Expression/(happiness|surprise|disgust|others|'
  r'sadness)/S\d\d-0\d-\d{3}/[1-9]\d*\.jpg',
}
EMOTIONS = {
  'casme2': {'happiness', 'disgust', 'repression', 'surprise', 'others'},
  'samm': {'Anger', 'Other', 'Happiness', 'Surprise', 'Contempt'},
  'mmew': {'happiness', 'surprise', 'disgust', 'others', 'sadness'},
}
PAIRS = {
  'casme2': {'disgust', 'repression'},
  'samm': {'Anger', 'Other'},
  'mmew': {'disgust', 'others'},
}
DATASETS = list(SHEETS)


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
  folder = tmp_path_factory.mktemp('simulated')
  return {
    dataset: simulate.write(dataset, folder / dataset, **SMALL)
    for dataset in DATASETS
  }


@pytest.fixture(scope='module')
def face():
  return faces_lib.draw(np.random.default_rng(0), 0, 84, 70)


def _layout(dataset):
  return registry.facts(dataset).simulation


def _contents(root):
  """File name -> content, without the manifest, which holds times."""
  return {
    path.relative_to(root).as_posix(): path.read_bytes()
    for path in root.rglob('*')
    if path.is_file() and path != root / manifest.NAME
  }


def _sheet(dataset, root):
  book = openpyxl.load_workbook(root / SHEETS[dataset])
  return [list(row) for row in book.active.iter_rows(values_only=True)]


def _sources(weights, fields):
  """Where each pixel of each frame comes from."""
  return np.einsum('ti,iyxc->tyxc', weights, fields)


@pytest.mark.parametrize('dataset', DATASETS)
def test_files_lie_where_the_data_set_has_them(trees, dataset):
  names = set(_contents(trees[dataset]))
  assert names >= {SHEETS[dataset], 'SIMULATED.md'}
  frames = names - {SHEETS[dataset], 'SIMULATED.md'}
  assert len(frames) > 10 * 20
  assert all(re.fullmatch(FRAME_PATHS[dataset], name) for name in frames)


@pytest.mark.parametrize(
  'dataset, row, header',
  [
    (
      'casme2',
      1,
      ['Subject', 'Filename', None, 'OnsetFrame', 'ApexFrame', 'OffsetFrame',
       None, 'Action Units', 'Estimated Emotion', 'Objective Classes'],
    ),
    (
      'samm',
      14,
      ['Subject', 'Filename', 'Inducement Code', 'Onset Frame', 'Apex Frame',
       'Offset Frame', 'Duration', 'Micro', 'Action Units',
       'Estimated Emotion', 'Objective Classes', 'Notes'],
    ),
    (
      'mmew',
      1,
      ['Subject', 'Filename', 'OnsetFrame', 'ApexFrame', 'OffsetFrame',
       'Action Units', 'Estimated Emotion', 'remarks'],
    ),
  ],
)  # fmt: skip
def test_the_header_is_the_real_one_in_its_row(trees, dataset, row, header):
  rows = _sheet(dataset, trees[dataset])
  assert rows[row - 1] == header
  assert len(rows) == row + 10
  if dataset == 'samm':
    book = openpyxl.load_workbook(trees[dataset] / SHEETS[dataset])
    assert book.sheetnames == ['MICRO_ONLY']
    assert rows[14][6] == '=F15-D15+1'


@pytest.mark.parametrize('dataset', DATASETS)
def test_key_frames_are_on_disk_and_in_order(trees, dataset):
  rows = _sheet(dataset, trees[dataset])
  header = next(i for i, row in enumerate(rows) if 'Filename' in row)
  columns = {
    str(name).replace(' ', ''): i for i, name in enumerate(rows[header])
  }
  for row in rows[header + 1 :]:
    assert isinstance(row[0], str)
    # Two people of CASME II may have clips of one name.
    (folder,) = (
      path
      for path in trees[dataset].rglob(row[columns['Filename']])
      if dataset != 'casme2' or path.parent.name == f'sub{row[0]}'
    )
    numbers = sorted(
      int(re.findall(r'\d+', path.stem)[-1]) for path in folder.iterdir()
    )
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    onset, apex, offset = (
      row[columns[f'{name}Frame']] for name in ('Onset', 'Apex', 'Offset')
    )
    assert numbers[0] <= onset < apex < offset <= numbers[-1]
    low, high = (20, 45) if dataset == 'mmew' else (40, 100)
    assert low <= offset - onset <= high
    if dataset == 'casme2':
      assert (onset, offset) == (numbers[0], numbers[-1])
    units = str(row[columns['ActionUnits']])
    assert re.fullmatch(r'[LR]?\d+(\+[LR]?\d+)*', units)


@pytest.mark.parametrize('dataset', DATASETS)
def test_emotions_are_the_protocols_and_spread_evenly(dataset):
  clips = layouts_lib.plan(_layout(dataset), 3, 10, seed=0)
  assert {clip.emotion for clip in clips} == EMOTIONS[dataset]
  for subject in range(3):
    emotions = [clip.emotion for clip in clips if clip.subject == subject]
    assert {emotions.count(emotion) for emotion in emotions} == {2}
  assert len({clip.folder for clip in clips}) == len(clips)
  # Not the same order for all, or the place in the sheet would tell.
  orders = {
    tuple(clip.emotion for clip in clips[start : start + 10])
    for start in (0, 10, 20)
  }
  assert len(orders) == 3


def test_a_remainder_of_clips_favours_no_emotion():
  clips = layouts_lib.plan(_layout('casme2'), 5, 7, seed=0)
  emotions = [clip.emotion for clip in clips]
  assert {emotions.count(emotion) for emotion in emotions} == {7}


@pytest.mark.parametrize('dataset', DATASETS)
def test_frames_have_the_size_and_colour_asked_for(trees, dataset):
  paths = sorted(trees[dataset].rglob('*.jpg'))
  picture = cv2.imread(str(paths[0]), cv2.IMREAD_UNCHANGED)
  assert picture.shape == ((56, 46) if dataset == 'samm' else (56, 46, 3))
  assert picture.std() > 15
  assert 40 < picture.mean() < 220


def test_every_file_is_the_same_for_the_same_arguments(trees, tmp_path):
  for dataset in ('casme2', 'samm'):
    again = simulate.write(dataset, tmp_path / dataset, **SMALL)
    assert _contents(again) == _contents(trees[dataset])


def test_another_seed_gives_other_faces_and_clips(trees, tmp_path):
  other = simulate.write('casme2', tmp_path / 'other', seed=1, **SMALL)
  assert not set(_contents(other).values()) & set(
    _contents(trees['casme2']).values()
  )


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


def test_the_same_tree_is_kept(tmp_path):
  root = tmp_path / 'new' / 'root'
  assert simulate.write('mmew', root, **SMALL) == root
  times = {path: path.stat().st_mtime_ns for path in root.rglob('*')}

  def never(items, description, total):
    raise AssertionError('written again')

  assert simulate.write('mmew', str(root), track=never, **SMALL) == root
  assert times == {path: path.stat().st_mtime_ns for path in root.rglob('*')}


def test_a_tree_of_the_same_parameters_is_kept_whatever_it_is_called(tmp_path):
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
  before = _contents(trees['casme2'])
  with pytest.raises(errors.UserError, match='"seed": 0') as refused:
    simulate.write('casme2', trees['casme2'], **{**SMALL, 'seed': 5})
  assert str(trees['casme2']) in str(refused.value)
  assert '"subjects"' not in str(refused.value)
  with pytest.raises(errors.UserError, match='"dataset": "casme2"'):
    simulate.write('samm', trees['casme2'], **SMALL)
  assert _contents(trees['casme2']) == before


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
def test_a_damaged_tree_is_made_again(trees, tmp_path, capsys, kind, in_cache):
  root = tmp_path / 'mmew'
  shutil.copytree(trees['mmew'], root)
  (_TREE_DAMAGE | _IN_CACHE_DAMAGE)[kind](root)
  simulate.write('mmew', root, in_cache=in_cache, **SMALL)
  assert _contents(root) == _contents(trees['mmew'])
  said = capsys.readouterr().out
  assert said.startswith(f'{root} is damaged (')
  assert len(said.splitlines()) == 1
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    '.mmew.damaged-1',
    'mmew',
  ]


@pytest.mark.parametrize('kind', _IN_CACHE_DAMAGE)
def test_what_may_be_real_is_left_alone(trees, tmp_path, kind):
  root = tmp_path / 'mmew'
  shutil.copytree(trees['mmew'], root)
  _IN_CACHE_DAMAGE[kind](root)
  before = _contents(root)
  with pytest.raises(errors.UserError, match=str(root)):
    simulate.write('mmew', root, **SMALL)
  assert _contents(root) == before


@pytest.mark.parametrize(
  'numbers, said',
  [
    ({'subjects': 2001, 'clips_per_subject': 10}, '20010 clips'),
    ({'subjects': 100, 'frame_height': 2048, 'frame_width': 2048},
     'do not fit in memory'),
  ],
)  # fmt: skip
def test_too_much_is_refused_before_anything_is_made(
  tmp_path, monkeypatch, numbers, said
):
  monkeypatch.setattr(simulate, '_write_tree', None)
  with pytest.raises(errors.UserError, match=said):
    simulate.write('casme2', tmp_path / 'root', **numbers)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('root', ['file/below', 'file'])
def test_a_root_that_cannot_be_made_is_an_error_of_the_user(tmp_path, root):
  (tmp_path / 'file').write_text('mine')
  with pytest.raises(errors.UserError, match=root):
    simulate.write('mmew', tmp_path / root, **SMALL)
  assert (tmp_path / 'file').read_text() == 'mine'


def test_an_unknown_data_set_is_refused(tmp_path):
  with pytest.raises(
    errors.UserError, match="'smic'.*no layout.*casme2, mmew, samm"
  ):
    simulate.write('smic', tmp_path / 'root')


@pytest.mark.parametrize('dataset', DATASETS)
def test_the_description_says_simulated_and_how(trees, dataset):
  text = (trees[dataset] / 'SIMULATED.md').read_text(encoding='utf-8')
  assert text.startswith('# Simulated data')
  assert 'no real\nperson' in text
  assert '"subjects": 2' in text
  assert '"noise_levels": 2.0' in text
  for emotion in EMOTIONS[dataset]:
    assert f'"{emotion}": "rise' in text


@pytest.mark.parametrize('dataset', DATASETS)
def test_two_emotions_alone_share_the_motion_up_to_the_apex(dataset, face):
  apex = 12
  timing = motion_lib.Timing(onset=2, apex=apex, offset=30, frames=34)
  recording = motion_lib.Recording()
  moves = {
    emotion: motion_lib.motion(
      face, expression, timing, 0.2, recording, np.random.default_rng(0)
    )
    for emotion, expression in _layout(dataset).expressions.items()
  }
  sources = {emotion: _sources(*move) for emotion, move in moves.items()}
  emotions = sorted(sources)
  for one in emotions:
    for other in emotions[emotions.index(one) + 1 :]:
      difference = abs(sources[one] - sources[other]).max((1, 2, 3))
      if {one, other} == PAIRS[dataset]:
        assert not difference[: apex + 1].any()
      else:
        assert difference[apex] > 0.2
      # Half-way from apex to offset all differ.
      assert difference[21] > 0.1
  # All that isn't the expression is the same for all.
  weights = {move[0].tobytes() for move in moves.values()}
  others = {move[1][[0, 3, 4, 5, 6]].tobytes() for move in moves.values()}
  assert len(weights) == len(others) == 1


def test_the_command_line_says_what_to_do_next(tmp_path, capsys):
  root = tmp_path / 'a root'
  arguments = ['--dataset=mmew', f'--root={root}', '--subjects=1',
               '--clips_per_subject=2', '--frame_height=48',
               '--frame_width=40']  # fmt: skip
  simulate.main(arguments)
  said = capsys.readouterr().out
  assert '2 simulated clips' in said
  assert (
    'python main.py --config=configs/mmew.py '
    f"--config.data.manual_dir='{root}'\n" in said
  )
  with pytest.raises(SystemExit, match='error: .*other parameters'):
    simulate.main([*arguments, '--seed=3'])
  with pytest.raises(SystemExit, match="error: Cannot simulate.*'smic'"):
    simulate.main(['--dataset=smic', f'--root={root}'])
