"""Simulated raw data: files, spreadsheets, emotions, frames and motions."""

import re

import cv2
import numpy as np
import openpyxl
import pytest

from tests.support.simulated_trees import SHEETS, SMALL, contents
from tfds_builders import registry, simulate
from tfds_builders.simulation import faces as faces_lib
from tfds_builders.simulation import layouts as layouts_lib
from tfds_builders.simulation import motion as motion_lib

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
def face():
  return faces_lib.draw(np.random.default_rng(0), 0, 84, 70)


def _layout(dataset):
  return registry.facts(dataset).simulation


def _sheet(dataset, root):
  book = openpyxl.load_workbook(root / SHEETS[dataset])
  return [list(row) for row in book.active.iter_rows(values_only=True)]


def _sources(weights, fields):
  """Where each pixel of each frame comes from."""
  return np.einsum('ti,iyxc->tyxc', weights, fields)


@pytest.mark.parametrize('dataset', DATASETS)
def test_files_have_the_layout_of_the_data_set(trees, dataset):
  names = set(contents(trees[dataset]))
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
def test_the_header_is_that_of_the_data_set_in_its_row(
  trees, dataset, row, header
):
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
def test_emotions_are_those_of_the_protocols_and_balanced(dataset):
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
def test_frames_have_the_requested_size_and_colour(trees, dataset):
  paths = sorted(trees[dataset].rglob('*.jpg'))
  picture = cv2.imread(str(paths[0]), cv2.IMREAD_UNCHANGED)
  assert picture.shape == ((56, 46) if dataset == 'samm' else (56, 46, 3))
  assert picture.std() > 15
  assert 40 < picture.mean() < 220


def test_every_file_is_the_same_for_the_same_arguments(trees, tmp_path):
  for dataset in ('casme2', 'samm'):
    again = simulate.write(dataset, tmp_path / dataset, **SMALL)
    assert contents(again) == contents(trees[dataset])


def test_another_seed_gives_other_faces_and_clips(trees, tmp_path):
  other = simulate.write('casme2', tmp_path / 'other', seed=1, **SMALL)
  assert not set(contents(other).values()) & set(
    contents(trees['casme2']).values()
  )


@pytest.mark.parametrize('dataset', DATASETS)
def test_the_description_marks_the_data_as_simulated(trees, dataset):
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
