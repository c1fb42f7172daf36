"""The subject of a clip: contradicting names, and frames that clips share."""

import dataclasses
import os
import shutil

import cv2
import numpy as np
import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import (
  check,
  clip_finder,
  identity,
  pixels,
  prepare,
  raw_folder,
)

Clip = raw_trees.Clip
_SAMM = [
  Clip('006', '006_1_2'),
  Clip('006', '006_1_3', onset=9),
  Clip('007', '007_3_1'),
]
_MMEW = [
  Clip('S01', 'S01-01-001', frames=(1, 22)),
  Clip('S02', 'S02-01-001', frames=(1, 22)),
]


def _read(dataset, root, **options):
  builder_cls = prepare.builder_class(dataset, '')
  found = builder_cls.find(root)
  return raw_folder.check(builder_cls.FACTS.guide, found, **options)


def _swap_subjects(clips):
  """The rows of a sheet whose column of subjects was sorted alone."""
  subjects = [clip.subject for clip in clips][::-1]
  return [
    dataclasses.replace(clip, subject=subject)
    for clip, subject in zip(clips, subjects, strict=True)
  ]


# Names.


@pytest.mark.parametrize(
  ('dataset', 'clips', 'sheet', 'row'),
  [
    ('samm', _SAMM, 'SAMM_Micro_FACS_Codes_v2.xlsx', "'MICRO_ONLY', row 15"),
    ('mmew', _MMEW, 'MMEW_Micro_Exp.xlsx', "'Sheet1', row 2"),
  ],
)
def test_subject_cell_against_the_name_of_the_clip(
  tmp_path, dataset, clips, sheet, row
):
  """A column that was sorted alone stops the run; no option skips it."""
  raw_trees.write_tree(tmp_path, dataset, clips, _swap_subjects(clips))
  with pytest.raises(errors.UserError) as info:
    _read(dataset, tmp_path, skip_bad_clips=True)
  text = str(info.value)
  first, last = clips[0], clips[-1]
  for part in (
    '2 clips whose subject is uncertain', f'{sheet}, sheet {row}',
    f'clip {first.name} belongs to subject {last.subject}',
    f"the clip's name says {first.subject}", 'a column was sorted',
  ):  # fmt: skip
    assert part in text


def test_check_reports_contradicting_subjects(tmp_path, capsys):
  raw_trees.write_tree(tmp_path, 'samm', _SAMM, _swap_subjects(_SAMM))
  assert check.main(['--dataset=samm', f'--manual_dir={tmp_path}']) == 1
  text = capsys.readouterr().out
  assert "the clip's name says 006" in text
  assert 'Verdict: blocked' in text


def test_folder_above_against_the_subject(tmp_path):
  clip = dataclasses.replace(_SAMM[0], subject_folder='009')
  raw_trees.write_tree(tmp_path, 'samm', [clip], file='{number}.jpg')
  with pytest.raises(errors.UserError) as info:
    _read('samm', tmp_path)
  assert 'its folder SAMM/009/006_1_2 says 009' in str(info.value)


def test_folder_of_the_subject_above_that_of_the_emotion(tmp_path):
  clip = dataclasses.replace(_MMEW[0], subject_folder='S07')
  raw_trees.write_tree(
    tmp_path, 'mmew', [clip], folder='{subject_folder}/{emotion}/{name}'
  )
  with pytest.raises(errors.UserError, match='S01-01-001 says S07'):
    _read('mmew', tmp_path)


def test_frames_called_as_those_of_another_subject_are_a_bad_clip(tmp_path):
  raw_trees.write_tree(tmp_path, 'samm', _SAMM)
  folder = tmp_path / 'SAMM/006/006_1_3'
  shutil.rmtree(folder)
  raw_trees.write_clip(folder, range(8, 23), '007_{:05d}.jpg', apex=13)
  with pytest.raises(errors.UserError) as info:
    _read('samm', tmp_path)
  assert 'frame 007_00008.jpg says 007' in str(info.value)
  checked = _read('samm', tmp_path, skip_bad_clips=True)
  assert [name for name, _ in checked.left_out] == ['006/006_1_3']


def test_folders_of_smic_against_each_other(tmp_path):
  clip = Clip('s21', 's1_ne_01', emotion='negative', frames=(1, 12))
  raw_trees.write_tree(tmp_path, 'smic', [clip])
  with pytest.raises(errors.UserError) as info:
    _read('smic', tmp_path)
  assert 'HS/s21/micro/negative/s1_ne_01: clip s1_ne_01 b' in str(info.value)
  assert "belongs to subject s21, but the clip's name says s01" in str(
    info.value
  )


def test_composite_and_its_parts_agree(tmp_path):
  raw_trees.write_tree(tmp_path, 'samm', _SAMM, _swap_subjects(_SAMM))
  with pytest.raises(errors.UserError, match="the clip's name says 006"):
    _read('megc2019', tmp_path)


def test_a_folder_of_two_subjects(tmp_path):
  """Names of MMEW without a subject: no folder may be of two subjects."""
  rows = [Clip('S01', 'S-01'), Clip('S02', 'S-01')]
  raw_trees.write_tree(
    tmp_path, 'mmew', rows[:1], [*rows, dataclasses.replace(rows[0])],
    folder='{name}',
  )  # fmt: skip
  builder_cls = prepare.builder_class('mmew', '')
  data_set = dataclasses.replace(builder_cls.FACTS.reading, clip_name='')
  with pytest.raises(errors.UserError) as info:
    clip_finder.find(data_set, tmp_path)
  assert 'row 2, on the same folder S-01, says S01' in str(info.value)


def test_a_name_of_another_pattern_has_no_subject():
  names = identity.SubjectNames(clip=r's(?P<subject>\d+)_')
  assert names.of_clip('S09_po_01') == 9
  assert names.of_clip('po_s09_01') is None
  assert names.of_frame('img09.jpg') is None
  assert names.of_folders(['s09_', 's10_']) is None


# One clip under two spellings.


def test_row_twice_in_two_spellings_is_one_clip(tmp_path):
  rows = [
    raw_trees.casme2_row(1, 'EP00_01f'),
    raw_trees.casme2_row(1, 'EP00_01F'),
    raw_trees.casme2_row(2, 'EP00_01f'),
  ]
  raw_trees.casme2(tmp_path, [rows[0], rows[2]])
  raw_trees.write_sheet(tmp_path / 'CASME2-coding-20140508.xlsx', rows)
  prepared = prepare.builder_class('casme2', '').find(tmp_path)
  assert [c.clip_id for c in prepared.clips] == [
    'sub01/EP00_01f', 'sub02/EP00_01f'
  ]  # fmt: skip
  assert 'sub01/EP00_01f: row 3 repeats row 2 (as EP00_01F)' in prepared.notes
  rows[1] = raw_trees.casme2_row(1, 'EP00_01F', emotion='fear')
  raw_trees.write_sheet(tmp_path / 'CASME2-coding-20140508.xlsx', rows)
  with pytest.raises(errors.UserError, match='differently in the rows 2, 3'):
    _read('casme2', tmp_path)


@pytest.mark.parametrize('equal', [True, False])
def test_folder_twice_in_two_spellings(tmp_path, equal):
  raw_trees.casme2(tmp_path, frames_folder='Cropped')
  place = tmp_path / 'Cropped/sub01'
  shutil.copytree(place / 'EP02_01f', place / 'EP02_01F')
  if equal:
    assert len(_read('casme2', tmp_path).records) == 3
    return
  (place / 'EP02_01F/reg_img12.jpg').write_bytes(b'')
  with pytest.raises(errors.UserError) as info:
    _read('casme2', tmp_path)
  assert '2 folders hold different images of it' in str(info.value)
  assert 'EP02_01F' in str(info.value)


# Content.


def _noise(root, subjects, clips=2):
  """CASME II of noise with random labels: nothing can be learned from it."""
  rng = np.random.default_rng(0)
  rows = [
    raw_trees.casme2_row(subject, f'EP{clip:02d}', 1, 3, 5,
                         emotion=rng.choice(['fear', 'disgust']))
    for subject in range(1, subjects + 1)
    for clip in range(clips)
  ]  # fmt: skip
  raw_trees.write_sheet(root / 'CASME2-coding-20140508.xlsx', rows)
  for subject, clip, *_ in rows:
    folder = root / f'Cropped/sub{subject:02d}/{clip}'
    folder.mkdir(parents=True)
    for number in range(1, 6):
      image = rng.integers(0, 256, (24, 32, 3), np.uint8)
      cv2.imwrite(str(folder / f'img{number}.png'), image)
  return root


def _copy_subject(root, source, target):
  shutil.rmtree(root / 'Cropped' / target)
  shutil.copytree(root / 'Cropped' / source, root / 'Cropped' / target)


def test_copies_of_subjects_under_other_names_stop_the_run(tmp_path):
  """Otherwise the test subject leaks, and even noise seems to be learned."""
  root = _noise(tmp_path / 'raw', 6)
  assert prepare.prepare('casme2', root, tmp_path / 'cache').notes[2:] == []
  for number in (1, 3, 5):
    _copy_subject(root, f'sub0{number}', f'sub0{number + 1}')
  with pytest.raises(errors.UserError) as info:
    prepare.prepare('casme2', root, tmp_path / 'cache', skip_bad_clips=True)
  text = str(info.value)
  assert 'clips of two subjects hold the same frames' in text
  assert 'sub01/EP00 and sub02/EP00: 5 of 5' in text
  assert 'Cropped/sub01/EP00/img1.png and Cropped/sub02/EP00/img1.png' in text
  assert 'and 1 more' in text
  with pytest.raises(errors.UserError, match='hold the same frames'):
    check.check('casme2', root)


def _other_format(folder):
  for path in folder.iterdir():
    cv2.imwrite(str(path.with_suffix('.bmp')), cv2.imread(str(path)))
    path.unlink()


def _later_numbers(folder):
  for path in sorted(folder.iterdir(), reverse=True):
    number = int(path.stem.removeprefix('img'))
    path.rename(folder / f'img{number + 1}.png')
  raw_trees.write_clip(folder, [1], 'img{}.png')


@pytest.mark.parametrize('change', [_other_format, _later_numbers])
def test_copies_that_are_not_the_same_bytes(tmp_path, change):
  root = _noise(tmp_path, 2, clips=1)
  _copy_subject(root, 'sub01', 'sub02')
  change(root / 'Cropped/sub02/EP00')
  with pytest.raises(errors.UserError, match='sub01/EP00 and sub02/EP00'):
    _read('casme2', root)


def test_same_clip_twice_in_one_subject_is_a_note(tmp_path):
  root = _noise(tmp_path / 'raw', 2)
  _copy_subject(root, 'sub01/EP00', 'sub01/EP01')
  notes = prepare.prepare('casme2', root, tmp_path / 'cache').notes
  assert notes[-1].startswith(
    '1 pairs of clips of one subject hold the same frames: sub01/EP00 and '
    'sub01/EP01: 5 of 5'
  )
  assert notes[-1] in check.check('casme2', root).notes[-1].replace(
    ': 3 of 3', ': 5 of 5'
  )


def test_a_single_frame_of_two_subjects_is_a_note(tmp_path):
  root = _noise(tmp_path, 2, clips=1)
  first, other = (root / f'Cropped/sub0{n}/EP00/img2.png' for n in (1, 2))
  shutil.copy(first, other)
  (note,) = _read('casme2', root).notes
  assert 'of two subjects share some frames' in note
  assert 'sub01/EP00 and sub02/EP00: 1 of 5' in note


def test_frames_of_one_colour_are_not_compared(tmp_path):
  root = _noise(tmp_path, 2, clips=1)
  for path in root.rglob('*.png'):
    cv2.imwrite(str(path), np.zeros((24, 32, 3), np.uint8))
  checked = _read('casme2', root)
  assert len(checked.records) == 2 and checked.same_frames == []


def test_frames_that_differ_between_the_points_of_the_grid(tmp_path):
  """Large frames are compared on a grid first, and then as a whole."""
  image = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
  other = image.copy()
  other[1::2] += 1
  records, witnesses = [], []
  for index, pixels_ in enumerate((image, other)):
    path = tmp_path / f'{index}.png'
    cv2.imwrite(str(path), pixels_[..., ::-1])
    records.append({'clip_id': f's{index}/a', 'subject': f's{index}'})
    witnesses.append(pixels.Witness())
    raw_folder.read_image(path, tmp_path, witnesses[-1])
  first, second = (next(iter(w.looks.values())).digest for w in witnesses)
  assert first == second
  assert identity.compare_frames('x', tmp_path, records, witnesses) == []
  shutil.copy(tmp_path / '0.png', tmp_path / '1.png')
  with pytest.raises(errors.UserError):
    identity.compare_frames('x', tmp_path, records, witnesses)


def test_one_person_in_two_data_sets_of_the_composite(tmp_path):
  samm = Clip('006', '006_1_2', emotion='Anger')
  smic = Clip('s1', 's1_ne_01', emotion='negative', frames=(10, 19))
  raw_trees.write_tree(tmp_path, 'samm', [samm])
  raw_trees.write_tree(tmp_path, 'smic', [smic], file='img{number}.jpg')
  assert len(_read('megc2019', tmp_path).records) == 2
  folder = tmp_path / 'SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01'
  for path in folder.iterdir():
    number = int(path.stem.removeprefix('img'))
    shutil.copy(tmp_path / f'SAMM/006/006_1_2/006_{number:05d}.jpg', path)
  with pytest.raises(errors.UserError) as info:
    _read('megc2019', tmp_path)
  assert 'samm/006/006_1_2 and smic/s01/s1_ne_01' in str(info.value)


def test_linked_folders_are_the_same_people(tmp_path):
  """A link to a subject below another name has no clips of its own."""
  root = _noise(tmp_path, 2, clips=1)
  shutil.rmtree(root / 'Cropped/sub02')
  os.symlink(root / 'Cropped/sub01', root / 'Cropped/sub02')
  with pytest.raises(errors.UserError, match='1 of 2 clips cannot be used'):
    _read('casme2', root)
