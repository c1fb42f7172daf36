"""Tests of the builder of flow images."""

import collections
import pathlib
import shutil

import cv2
import numpy as np
import pytest

from dianet_jax.clips import images
from dianet_jax.core import errors
from tfds_builders import check, raw_folder
from tfds_builders.megc2019_flow import megc2019_flow_dataset_builder as flow

_REAL_FLOW = (
  pathlib.Path(__file__).parents[3] / 'shared/data/megc2019_phase_flow'
)


def _flow_tree(root, blank=' '):
  """The three parts, with SMIC's row as it is in the list."""
  lines = [
    'dataset,sub,filename_o,label,apex,imagename,sub_filename',
    'casme2,sub01,EP02_01f,1,,sub01_EP02_01f.jpg,',
    'samm,006,006_1_2,0,,006_006_1_2.jpg,',
    'smic,s09,s09_po_01,1,,s09_s9_po_01.jpg,',
    'casme2,sub02,EP02_01f,2,,sub02_EP02_01f.jpg,',
  ]
  images = root / 'datasets' / 'flow'
  images.mkdir(parents=True)
  name = 'combined_3_class2_for_optical_flow.csv'
  (root / name).write_text('\n'.join(lines) + '\n')
  stems = ['sub01_EP02_01f', '006_006_1_2', 's09_s09_po_01', 'sub02_EP02_01f']
  for index, stem in enumerate(stems):
    for phase, suffix in enumerate(('', '_1', '_2', '_3')):
      image = np.full((28, 28, 3), 10 * index + phase, np.uint8)
      # Through bytes: OpenCV wants a suffix it knows.
      data = cv2.imencode('.png', image)[1].tobytes()
      (images / f'{stem}{suffix}{blank}.png').write_bytes(data)
  return root


@pytest.mark.parametrize('blank', [' ', ''])
def test_flow_reads_all_three_parts(tmp_path, blank):
  found = flow.Builder.find(_flow_tree(tmp_path, blank))
  records = raw_folder.check(flow.Builder.FACTS.guide, found).records
  described = [(r['clip_id'], r['subject'], r['emotion']) for r in records]
  assert described == [
    ('casme2/sub01/EP02_01f', 'casme2/sub01', 'positive'),
    ('casme2/sub02/EP02_01f', 'casme2/sub02', 'surprise'),
    ('samm/006/006_1_2', 'samm/006', 'negative'),
    ('smic/s09/s09_po_01', 'smic/s09', 'positive'),
  ]
  first, second = (
    images.load(records[3][phase])[0, 0, 0]
    for phase in ('onset_apex', 'apex_offset')
  )
  assert (first, second) == (20, 21)
  assert len(found.image_files) == 16
  positions = [images.load(p)[0, 0, 0] for p in records[3]['positions']]
  assert positions == [22, 23]


def test_flow_subject_that_a_spreadsheet_program_shortened(tmp_path):
  root = _flow_tree(tmp_path)
  (path,) = root.glob('*.csv')
  path.write_text(path.read_text().replace('samm,006,', 'SAMM,6,'))
  found = flow.Builder.find(root)
  records = raw_folder.check(flow.Builder.FACTS.guide, found).records
  assert records[2]['clip_id'] == 'samm/006/006_1_2'


def test_flow_missing_image_is_a_bad_clip(tmp_path):
  root = _flow_tree(tmp_path)
  (root / 'datasets/flow/006_006_1_2_1 .png').unlink()
  found = flow.Builder.find(root)
  with pytest.raises(
    errors.UserError, match="image '006_006_1_2_1 .png' is mis"
  ):
    raw_folder.check(flow.Builder.FACTS.guide, found)
  checked = raw_folder.check(
    flow.Builder.FACTS.guide, found, skip_bad_clips=True
  )
  assert [clip_id for clip_id, _ in checked.left_out] == ['samm/006/006_1_2']
  assert len(checked.records) == 3


def test_flow_position_images_are_both_there_or_neither(tmp_path):
  root = _flow_tree(tmp_path)
  (root / 'datasets/flow/006_006_1_2_3 .png').unlink()
  found = flow.Builder.find(root)
  with pytest.raises(errors.UserError, match="'006_006_1_2_3 .png' is missing"):
    raw_folder.check(flow.Builder.FACTS.guide, found)
  (root / 'datasets/flow/006_006_1_2_2 .png').unlink()
  found = flow.Builder.find(root)
  records = raw_folder.check(flow.Builder.FACTS.guide, found).records
  assert [len(record['positions']) for record in records] == [2, 2, 0, 2]


@pytest.mark.parametrize(
  ('old', 'new', 'text'),
  [
    (
      'sub02,EP02_01f,2',
      'sub02,EP02_01f,7',
      "row 5, column 'label': found '7'",
    ),
    ('smic,', 'other,', "row 4, column 'dataset': found 'other'"),
    ('casme2,sub02', 'casme2,sub', "row 5, column 'sub': found 'sub'"),
    ('sub02', 'sub01', 'lists clips twice: casme2/sub01/EP02_01f'),
    ('filename_o', 'file', 'no list of the clips'),
    (',EP02', ',../EP02', "image 'sub01_../EP02_01f .png' is missing"),
  ],
)
def test_flow_bad_list(tmp_path, old, new, text):
  root = _flow_tree(tmp_path)
  (path,) = root.glob('*.csv')
  path.write_text(path.read_text().replace(old, new))
  with pytest.raises(errors.UserError) as info:
    raw_folder.check(flow.Builder.FACTS.guide, flow.Builder.find(root))
  assert text in str(info.value)


def test_flow_without_folder_names_the_repository(tmp_path):
  with pytest.raises(errors.UserError) as info:
    flow.Builder.find(tmp_path / 'missing')
  assert 'tony19980810/CausalNet' in str(info.value)
  assert 'ICCV 2025' in str(info.value)
  assert str(tmp_path / 'missing') in str(info.value)


# Lists as spreadsheet programs leave them.


def _as_excel(text):
  return text.replace(',', ';').encode('utf-8-sig')


def _as_utf16(text):
  return text.replace(',', '\t').encode('utf-16')


def _as_floats(text):
  return text.replace(',1,,', ',1.0,,').replace(',0,,', ',0.0,,').encode()


@pytest.mark.parametrize('change', [_as_excel, _as_utf16, _as_floats])
def test_flow_list_rewritten_by_a_spreadsheet_program(tmp_path, change):
  root = _flow_tree(tmp_path)
  (path,) = root.glob('*.csv')
  path.write_bytes(change(path.read_text()))
  checked = raw_folder.check(flow.Builder.FACTS.guide, flow.Builder.find(root))
  emotions = [record['emotion'] for record in checked.records]
  assert emotions == ['positive', 'surprise', 'negative', 'positive']


def test_flow_list_with_an_endless_field(tmp_path):
  root = _flow_tree(tmp_path)
  (path,) = root.glob('*.csv')
  with path.open('a') as file:
    file.write('casme2,sub03,' + 'x' * 200_000 + ',1\n')
  with pytest.raises(errors.UserError, match='cannot be read as a table'):
    flow.Builder.find(root)


def test_flow_list_that_cannot_be_read(tmp_path, monkeypatch):
  root = _flow_tree(tmp_path)

  def refuse(path):
    raise PermissionError(13, 'Permission denied', str(path))

  monkeypatch.setattr(pathlib.Path, 'read_bytes', refuse)
  with pytest.raises(errors.UserError, match='csv cannot be read: Permission'):
    flow.Builder.find(root)


@pytest.mark.parametrize('label', ['2', '0'])
def test_flow_list_and_its_copy(tmp_path, label):
  root = _flow_tree(tmp_path)
  (path,) = root.glob('*.csv')
  copy = root / 'combined (1).csv'
  copy.write_text(
    'dataset,sub,filename_o,label\ncasme2,2,EP02_01F,' + label + '\n'
  )
  if label == '2':
    assert flow.Builder.find(root).annotation_files == (path,)
    assert flow.Builder.find(root).notes[0].endswith('not in combined (1).csv')
    return
  with pytest.raises(errors.UserError) as info:
    flow.Builder.find(root)
  assert f'{path}, row 5, and {copy}, row 2, disagree' in str(info.value)
  assert "column 'label' '2' and '0'" in str(info.value)


# Whose an image is.


def test_flow_subject_against_the_name_of_the_clip(tmp_path):
  root = _flow_tree(tmp_path)
  (path,) = root.glob('*.csv')
  path.write_text(path.read_text().replace('samm,006,', 'samm,007,'))
  with pytest.raises(errors.UserError) as info:
    flow.Builder.find(root)
  assert f'{path}, row 3: clip 006_1_2 belongs to subject 007' in str(
    info.value
  )
  assert "the clip's name says 006" in str(info.value)


def _draw(root):
  """Gives each image a different content."""
  for seed, path in enumerate(sorted(root.rglob('*.png'))):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (28, 28, 3), np.uint8)
    path.write_bytes(cv2.imencode('.png', image)[1].tobytes())


@pytest.mark.parametrize('source', ['sub02_EP02_01f', '006_006_1_2'])
def test_flow_images_of_two_subjects_that_are_the_same(tmp_path, source):
  root = _flow_tree(tmp_path)
  _draw(root)
  place = root / 'datasets/flow'
  assert not raw_folder.check(
    flow.Builder.FACTS.guide, flow.Builder.find(root)
  ).notes
  for suffix in ('', '_1'):
    shutil.copy(
      place / f'{source}{suffix} .png', place / f'sub01_EP02_01f{suffix} .png'
    )
  with pytest.raises(errors.UserError) as info:
    raw_folder.check(flow.Builder.FACTS.guide, flow.Builder.find(root))
  assert 'clips of two subjects hold the same frames' in str(info.value)
  assert 'casme2/sub01/EP02_01f' in str(info.value)
  with pytest.raises(errors.UserError, match='two subjects'):
    check.check('megc2019_flow', root)


def test_flow_images_of_one_colour_are_named(tmp_path):
  found = flow.Builder.find(_flow_tree(tmp_path))
  checked = raw_folder.check(flow.Builder.FACTS.guide, found)
  assert any('with frames of one colour' in note for note in checked.notes)


@pytest.mark.parametrize('equal', [True, False])
def test_flow_images_of_one_name_in_two_folders(tmp_path, equal):
  root = _flow_tree(tmp_path)
  source = root / 'datasets/flow/sub01_EP02_01f .png'
  (root / 'datasets/copy').mkdir()
  copy = shutil.copy(source, root / 'datasets/copy')
  if not equal:
    shutil.copy(root / 'datasets/flow/sub02_EP02_01f .png', copy)
  checked = raw_folder.check(
    flow.Builder.FACTS.guide, flow.Builder.find(root), skip_bad_clips=True
  )
  assert len(checked.records) == (4 if equal else 3)
  if not equal:
    assert 'are different images' in checked.left_out[0][1]


@pytest.mark.skipif(not _REAL_FLOW.is_dir(), reason='needs the real images')
def test_real_flow_images():
  found = flow.Builder.find(_REAL_FLOW)
  records = raw_folder.check(flow.Builder.FACTS.guide, found).records
  assert len(records) == 278
  assert len({record['subject'] for record in records}) == 52
  assert collections.Counter(record['emotion'] for record in records) == {
    'negative': 180,
    'positive': 58,
    'surprise': 40,
  }
