"""Tests of the data sets of long videos: what is read, and what is refused."""

import dataclasses
import json
import pathlib

import openpyxl
import pytest

from dianet_jax import __main__ as cli
from dianet_jax.clips import intervals
from dianet_jax.core import errors
from dianet_jax.evaluation import spotting_files
from tfds_builders import long_videos
from tfds_builders.simulation import long_video_trees

MAPS = {
  'naming rule1': [[None, 's15', 1], [None, 's16', 2]],
  # A spreadsheet program has made a number of the second code.
  'naming rule2': [['0503', 'anger1'], [101, 'disgust1']],
}


def sheet(path, sheets):
  book = openpyxl.Workbook()
  book.remove(book.worksheets[0])
  for title, rows in sheets.items():
    made = book.create_sheet(title)
    for row in rows:
      made.append(row)
  path.parent.mkdir(parents=True, exist_ok=True)
  book.save(path)


def touch(folder, numbers, pattern):
  folder.mkdir(parents=True)
  for number in numbers:
    (folder / pattern.format(number)).touch()


def casme_sq(root, rows, maps=MAPS):
  """Two videos of one subject, and one without expressions of another."""
  sheet(root / 'CAS(ME)^2code_final.xlsx', {'CASFEcode_final': rows} | maps)
  for name in ('s15/15_0503story', 's15/15_0101teeth', 's16/16_0503story'):
    touch(root / 'rawpic' / name, range(1, 101), 'img{:03d}.jpg')
  return long_videos.find(long_videos.get('casme_sq'), root)


def row(clip, onset, apex, offset, kind='micro-expression', subject=1):
  return [subject, clip, onset, apex, offset, '4', 'negative', kind, 'Anger']


def of(found):
  return {
    video.name: [
      (i.onset, i.apex, i.offset, i.kind) for i, _ in video.expressions
    ]
    for video in found.videos
  }


def test_casme_sq_counts_from_one_and_an_offset_of_0_is_the_apex(tmp_path):
  found = casme_sq(
    tmp_path,
    [
      row('disgust1_1', 11, 15, 20),
      row('anger1_1', 30, 40, 0, 'macro-expression'),
      row('disgust1_2', 1, 2, 3),
    ],
  )
  assert of(found) == {
    '15_0101teeth': [(0, 1, 2, 'micro'), (10, 14, 19, 'micro')],
    '15_0503story': [(29, 39, 39, 'macro')],
    '16_0503story': [],
  }
  assert found.problems == []
  assert any('no offset' in note for note in found.notes)
  assert {v.subject for v in found.videos} == {'s15', 's16'}
  assert found.videos[0].expressions[0][1] == 'anger'


@pytest.mark.parametrize(
  'rows, message',
  [
    ([row('happy1_1', 1, 2, 3)], "video 'happy1'"),
    ([row('anger1_1', 1, 2, 3, subject=9)], "subject '9'"),
    ([row('anger1_1', 1, 2, 'x')], "offset: found 'x'"),
    ([row('anger1_1', -4, 2, 3)], "onset: found '-4'"),
    ([row('anger1_1', 1, 2, 3, 'neutral')], "the type 'neutral'"),
  ],
)
def test_a_wrong_cell_is_named(tmp_path, rows, message):
  with pytest.raises(errors.UserError) as raised:
    casme_sq(tmp_path, rows)
  assert message in str(raised.value) and 'row 1' in str(raised.value)
  assert 'code_final.xlsx' in str(raised.value)


def test_sheets_of_codes_are_needed(tmp_path):
  with pytest.raises(errors.UserError, match='expected three'):
    casme_sq(tmp_path / 'a', [row('anger1_1', 1, 2, 3)], {})
  empty = {'naming rule1': [[None]], 'naming rule2': [[None]]}
  with pytest.raises(errors.UserError, match='must map'):
    casme_sq(tmp_path / 'b', [row('anger1_1', 1, 2, 3)], empty)


def test_rows_that_cannot_be_repaired_are_problems(tmp_path):
  found = casme_sq(
    tmp_path,
    [
      row('anger1_1', 50, 40, 45),
      row('anger1_2', 190, 195, 199),
      # Of the other subject there is no such video.
      row('disgust1_1', 1, 2, 3, subject=2),
      # Mended: the apex is outside.
      row('anger1_3', 10, 99, 20),
    ],
  )
  assert len(found.problems) == 3
  assert of(found)['15_0503story'] == [(9, 14, 19, 'micro')]


def test_raw_and_cropped_frames_are_not_mixed(tmp_path):
  touch(tmp_path / 'rawpic_crop/s15/15_0503story', (1, 2), 'img{:03d}.jpg')
  with pytest.raises(errors.UserError, match='the same video'):
    casme_sq(tmp_path, [row('anger1_1', 1, 2, 3)])


@pytest.mark.parametrize('name', long_videos.SETS)
def test_a_folder_without_the_data_set_says_what_is_expected(tmp_path, name):
  with pytest.raises(errors.UserError, match='does not exist'):
    long_videos.find(long_videos.get(name), tmp_path / 'none')
  (tmp_path / 'x.txt').touch()
  with pytest.raises(errors.UserError, match='Expected layout'):
    long_videos.find(long_videos.get(name), tmp_path)


def samm(root, rows, emotions=()):
  header = ['Subject', 'Filename', 'Inducement Code', 'Onset', 'Apex', 'Offset',
            'Duration', 'Type', 'Action Units', 'Notes']  # fmt: skip
  above = [[f'line {i}'] for i in range(9)]
  name = 'SAMM_LongVideos_V2_Release.xlsx'
  sheet(root / name, {'Sheet1': [*above, header, *rows]})
  if emotions:
    sheet(
      root / 'SAMM_Micro_FACS_Codes_v2.xlsx',
      {'MICRO_ONLY': [[], ['Subject', 'Filename', 'Estimated Emotion'],
                      *emotions]},
    )  # fmt: skip
  for name in ('006_1', '006_2'):
    folder = root / 'SAMM_longvideos' / name
    touch(folder, range(1, 301), name + '_{:04d}.jpg')
  return long_videos.find(long_videos.get('samm_long'), root)


def samm_row(clip, onset, apex, offset, kind='Micro - 1/2'):
  return ['006', clip, 1, onset, apex, offset, None, kind, '4', None]


def test_samm_long_leaves_out_expressions_without_an_onset(tmp_path):
  found = samm(
    tmp_path,
    [
      samm_row('006_1_1', 0, 40, 80, 'Macro'),
      samm_row('006_1_2', 101, 141, 200),
    ],
    [['006', '006_1_2', 'Happiness']],
  )
  assert of(found) == {
    '006_1': [(100, 140, 199, 'micro')], '006_2': [],
  }  # fmt: skip
  assert found.videos[0].expressions[0][1] == 'happiness'
  assert any('no onset' in note for note in found.notes)


def test_samm_long_works_without_the_sheet_of_emotions(tmp_path):
  found = samm(tmp_path, [samm_row('006_1_2', 101, 141, 200)])
  assert found.videos[0].expressions[0][1] == ''
  assert any('no emotions' in note for note in found.notes)
  with pytest.raises(errors.UserError, match="like '006_1_2'"):
    samm(tmp_path / 'b', [samm_row('smile', 1, 2, 3)])


@pytest.mark.parametrize('name', long_video_trees.TREES)
def test_a_simulated_tree_is_read_with_its_true_intervals(
  tmp_path, capsys, monkeypatch, name
):
  written = []
  # Fewer files at 30 a second; only false positives a minute depend on it.
  tree = dataclasses.replace(long_video_trees.TREES[name], frames_per_second=30)
  monkeypatch.setitem(long_video_trees.TREES, name, tree)
  monkeypatch.setattr(
    long_video_trees,
    '_write_frames',
    lambda tree, take, face, root, rng: (
      touch(root / tree.place(take)[0], range(1, take.script.frames + 1),
            tree.place(take)[1]),
      written.append(take),
    ),
  )  # fmt: skip
  root = tmp_path / 'tree'
  long_video_trees.write(name, root)
  arguments = [f'--dataset={name}', f'--manual_dir={root}']
  assert cli.main(['check', *arguments, '--json']) == 0
  report = json.loads(capsys.readouterr().out)
  assert report['verdict'] == 'ready' and report['simulated']
  assert report['counts']['videos'] == 6 and report['counts']['subjects'] == 2
  assert report['counts']['micro'] and report['problems'] == []
  assert cli.main(['check', *arguments]) == 0
  assert 'SIMULATED' in capsys.readouterr().out

  videos = spotting_files.of_data_set(name, str(root))
  acted = {
    pathlib.Path(long_video_trees.TREES[name].place(take)[0]).name: [
      (item.onset, item.apex) for item in take.script.expressions
    ]
    for take in written
  }
  for video in videos:
    read = [(t.interval.onset, t.interval.apex) for t in video.truth]
    assert set(read) <= set(acted[video.name])
    # The second of each video lacks its onset (SAMM) or offset.
    lost = int(name == 'samm_long' and len(acted[video.name]) > 1)
    assert len(read) == len(acted[video.name]) - lost

  # What is true is found, and scored by the command.
  found = {v.name: [t.interval for t in v.truth] for v in videos}
  intervals.write(tmp_path / 'found.csv', found)
  command = ['evaluate-spotting', str(tmp_path / 'found.csv'), *arguments]
  assert cli.main([*command, '--json']) == 0
  got = json.loads(capsys.readouterr().out)
  assert got['as_given']['both']['f1'] == 1.0


def test_frames_of_a_tree_are_images(tmp_path):
  import cv2

  long_video_trees.write('samm_long', tmp_path / 'tree', 1, 0.1)
  [*paths] = (tmp_path / 'tree').rglob('006_3_0001.jpg')
  assert cv2.imread(str(paths[0]), cv2.IMREAD_UNCHANGED).ndim == 2
  with pytest.raises(errors.UserError, match='not empty'):
    long_video_trees.write('samm_long', tmp_path / 'tree')


def test_other_names_are_refused():
  with pytest.raises(errors.UserError, match='casme_sq'):
    long_videos.get('casme_cube')
