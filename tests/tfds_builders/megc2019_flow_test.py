"""Tests of the builder of flow images."""

import collections
import pathlib

import cv2
import numpy as np
import pytest

from dianet_jax.clips import images
from dianet_jax.core import errors
from tfds_builders import raw_folder
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
    for phase, suffix in enumerate(('', '_1', '_2')):
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
  assert len(found.image_files) == 8


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
