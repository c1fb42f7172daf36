"""Tests of `check`: findings, verdict, exit code and the next command."""

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys

import pytest

from dianet_jax.clips import images
from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import (
  check,
  prepare,
  protocols,
  raw_folder,
  registry,
  simulate,
)
from tfds_builders.casme2 import facts as casme2


def _declare(monkeypatch, **facts):
  """Replaces facts of CASME II."""
  changed = dataclasses.replace(casme2.FACTS, **facts)
  monkeypatch.setattr(casme2, 'FACTS', changed)


def _complete(root, monkeypatch):
  """CASME II with a tenth of its clips: frames of three clips are enough."""
  rows = [
    raw_trees.casme2_row(1, 'EP01', emotion='happiness'),
    raw_trees.casme2_row(1, 'EP02', emotion='Disgust '),
    raw_trees.casme2_row(2, 'EP01', emotion='Other', apex='/'),
  ]
  expected = registry.Expected(
    (3, 4), 2, {'happiness': 1, 'disgust': 1, 'others': 1}
  )
  _declare(monkeypatch, expected=expected)
  return raw_trees.casme2(root, rows)


def _small_protocol(monkeypatch):
  counts = {'happiness': 1, 'disgust': 1}
  protocol = protocols.Protocol(
    tuple(counts),
    {n: n for n in counts},
    {'casme2': counts},
    {'casme2': 1},
    left_out=('others',),
  )
  _declare(
    monkeypatch, protocols=casme2.FACTS.protocols | {'casme2_small': protocol}
  )


def test_complete_folder_is_ready(tmp_path, monkeypatch, capsys):
  root = _complete(tmp_path / 'raw', monkeypatch)
  _small_protocol(monkeypatch)
  code = check.main(
    ['--dataset=casme2', f'--manual_dir={root}', '--protocol=casme2_small']
  )
  lines = capsys.readouterr().out.splitlines()
  text = '\n'.join(lines)
  assert code == 0
  assert 'cropped: Cropped/Cropped/sub01/EP01/reg_img10.jpg' in text
  assert 'CASME2-coding-20140508.xlsx (sha256 ' in text
  assert '3, expected 3 or 4' in text
  assert '2, expected 2' in text
  assert 'disgust 1' in text
  assert '30 from onset to offset, 0 missing' in text
  assert '32 x 24: 3' in text
  assert '2 clips, 1 folds: happiness 1, disgust 1' in text
  assert 'sub02/EP01: apex none: to be spotted' in text
  assert 'only the onset, apex and offset frame of each clip were' in text
  assert lines[-3].startswith('Verdict: ready.')
  assert lines[-1] == (
    '  python main.py --config=configs/casme2.py '
    f'--config.data.manual_dir={root} --config.data.protocol=casme2_small'
  )


def test_json_has_the_same_content(tmp_path, monkeypatch, capsys):
  root = _complete(tmp_path / 'raw', monkeypatch)
  (root / 'Cropped/Cropped/sub01/EP01/reg_img12.jpg').unlink()
  code = check.main(['--dataset=casme2', f'--manual_dir={root}', '--json'])
  report = json.loads(capsys.readouterr().out)
  assert (code, report['verdict']) == (0, 'ready')
  assert report['clips'] == 3
  assert report['subjects'] == ['sub01', 'sub02']
  assert report['emotions'] == {'happiness': 1, 'disgust': 1, 'others': 1}
  assert report['variant'] == 'cropped'
  assert report['missing_frames'] == {'sub01/EP01': 1}
  assert report['frames'] == 29
  assert set(report['repairs']) == {'sub01/EP01', 'sub02/EP01'}
  five = report['protocols']['casme2_5class']
  assert five['clips']['disgust'] == 1
  assert (
    'casme2, disgust: 1 clips, the protocol has 63; here: sub01/EP02'
    in five['differences']
  )


def test_incomplete_folder_differs(tmp_path, monkeypatch, capsys):
  root = raw_trees.casme2(tmp_path / 'raw')
  code = check.main(['--dataset=casme2', f'--manual_dir={root}'])
  text = capsys.readouterr().out
  assert code == 1
  assert '3 clips annotated, expected 255 or 256' in text
  assert "1 usable clips of 'disgust', expected 63" in text
  assert "0 usable clips of 'fear', expected 2" in text
  assert 'Verdict: differs.' in text


def test_another_version_of_the_spreadsheet_is_no_problem(
  tmp_path, monkeypatch
):
  root = _complete(tmp_path / 'raw', monkeypatch)
  _declare(monkeypatch, expected=registry.Expected((9, 3), 2, {'happiness': 9}))
  assert check.check('casme2', root).problems == []


def test_bad_clips_block_and_the_command_leaves_them_out(
  tmp_path, monkeypatch, capsys
):
  root = _complete(tmp_path / 'raw', monkeypatch)
  folder = root / 'Cropped/Cropped/sub01'
  (folder / 'EP01' / 'reg_img15.jpg').write_bytes(b'')
  (folder / 'EP02' / 'reg_img10.jpg').write_bytes(b'\xff\xd8 no image')
  code = check.main(['--dataset=casme2', f'--manual_dir={root}', '--json'])
  report = json.loads(capsys.readouterr().out)
  assert (code, report['verdict']) == (1, 'blocked')
  bad = report['bad_clips']
  assert list(bad) == ['sub01/EP01', 'sub01/EP02']
  assert bad['sub01/EP01'].endswith('EP01/reg_img15.jpg is empty (0 bytes)')
  assert '2 of 3 clips cannot be used' in report['problems'][0]
  command = shlex.split(report['next_command'])
  assert command[-1] == '--config.data.skip_bad_clips=true'
  # And so they are.
  prepared = prepare.prepare(
    'casme2', root, tmp_path / 'cache', skip_bad_clips=True
  )
  assert [clip_id for clip_id, _ in prepared.left_out] == list(bad)


def test_policies(tmp_path, monkeypatch, capsys):
  root = _complete(tmp_path / 'raw', monkeypatch)
  options = ['--dataset=casme2', f'--manual_dir={root}', '--json']
  check.main([*options, '--annotation_policy=drop'])
  dropped = json.loads(capsys.readouterr().out)
  assert list(dropped['dropped_clips']) == ['sub02/EP01']
  assert dropped['bad_clips'] == {}
  assert dropped['verdict'] == 'differs'
  assert dropped['next_command'].endswith(
    '--config.data.annotation_policy=drop'
  )
  check.main([*options, '--annotation_policy=strict'])
  strict = json.loads(capsys.readouterr().out)
  assert list(strict['bad_clips']) == ['sub02/EP01']
  assert strict['verdict'] == 'blocked'
  assert 'skip_bad_clips' not in strict['next_command']
  with pytest.raises(errors.UserError, match='choose one of repair, spot'):
    check.check('casme2', root, annotation_policy='mend')


def test_only_key_frames_are_opened(tmp_path, monkeypatch):
  root = _complete(tmp_path / 'raw', monkeypatch)
  opened = []
  decode = images.decode

  def count(data):
    opened.append(len(data))
    return decode(data)

  monkeypatch.setattr(images, 'decode', count)
  check.check('casme2', root)
  # The apex of the third clip is to be spotted.
  assert len(opened) == 3 + 3 + 2


def test_many_findings_fit_on_a_screen(tmp_path, capsys):
  rows = [raw_trees.casme2_row(i, 'EP01') for i in range(1, 31)]
  root = raw_trees.casme2(tmp_path / 'raw', rows)
  for path in list(root.rglob('reg_img14.jpg'))[:29]:
    path.write_bytes(b'')
  assert check.main(['--dataset=casme2', f'--manual_dir={root}']) == 1
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) < 60
  assert '  and 19 more (all with --json)' in lines


def test_folder_without_the_data_set(tmp_path, capsys):
  arguments = ['--dataset=samm', f'--manual_dir={tmp_path}', '--variant=raw']
  assert check.main(arguments) == 1
  text = capsys.readouterr().out
  assert 'SAMM: the folder is empty.' in text
  assert text.splitlines()[-1] == (
    f'  dianet check --dataset=samm --manual_dir={tmp_path} --variant=raw'
  )
  assert check.main([*arguments, '--json']) == 1
  assert json.loads(capsys.readouterr().out)['verdict'] == 'blocked'


def test_unknown_names(tmp_path):
  with pytest.raises(errors.UserError, match="did you mean 'casme2'"):
    check.check('casme', tmp_path)
  with pytest.raises(errors.UserError, match='casme2_5class_246'):
    check.check('casme2', tmp_path, protocol='5class')


def test_misspelt_emotion_is_named(tmp_path):
  rows = [
    raw_trees.casme2_row(1, 'EP01', emotion='hapiness'),
    raw_trees.casme2_row(1, 'EP02', emotion='disgust'),
  ]
  root = raw_trees.casme2(tmp_path / 'raw', rows)
  report = check.check('casme2', root, protocol='casme2_5class')
  assert report.verdict == 'differs'
  assert "1 usable clips of 'hapiness', expected 0" in report.problems
  assert any(
    "'hapiness'" in text and 'sub01/EP01' in text for text in report.problems
  )


def test_no_clip_of_the_protocol(tmp_path):
  rows = [raw_trees.casme2_row(1, 'EP01', emotion='sadness')]
  report = check.check('casme2', raw_trees.casme2(tmp_path / 'raw', rows))
  assert report.verdict == 'blocked'
  assert 'no clip belongs to a protocol (casme2_5class' in report.problems[0]


def test_every_data_set_has_expected_counts():
  facts = {name: registry.facts(name) for name in registry.names()}
  known = {name: row for name, row in facts.items() if row.expected}
  # Of CAS(ME)3 none could be checked; of the composite, only the protocol.
  assert set(facts) - set(known) == {'casme3', 'megc2019'}
  for dataset, row in known.items():
    expected = row.expected
    assert sum(expected.emotions.values()) == expected.clips[0], dataset
    assert row.protocols
    for name, protocol in row.protocols.items():
      # A protocol is no larger than the data set.
      clips = sum(sum(c.values()) for c in protocol.expected.values())
      assert 0 < clips <= expected.clips[0], name
      folds = sum(protocol.expected_folds.values())
      assert folds <= expected.subjects, name


@pytest.mark.parametrize('dataset', ['casme2', 'samm', 'mmew'])
def test_simulated_data_are_ready_and_the_command_runs(tmp_path, dataset):
  root = simulate.write(
    dataset,
    tmp_path / 'deep' / 'raw',
    subjects=2,
    clips_per_subject=5,
    frame_height=56,
    frame_width=46,
  )
  # From above, too: a mark deeper down must not be missed.
  for folder in (root, root.parent):
    report = check.check(dataset, folder)
    assert report.simulated and report.verdict == 'ready'
    assert 'SIMULATED' in report.text()
    assert sum(report.emotions.values()) == report.clips == 10
  assert prepare.prepare(dataset, root.parent, tmp_path / 'cache').simulated
  shutil.move(root / raw_folder.SIMULATED_MARK, tmp_path / 'mark')
  assert check.check(dataset, root).verdict == 'differs'


def test_runs_as_a_module(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  result = subprocess.run(
    [sys.executable, '-m', 'dianet_jax', 'check', '--dataset=casme2',
     f'--manual_dir={root}'],
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert result.returncode == 1
  assert result.stderr == ''
  assert 'Verdict: differs' in result.stdout


def test_data_set_without_a_protocol_or_known_counts(tmp_path, monkeypatch):
  five = casme2.FACTS.protocols['casme2_5class']
  root = _complete(tmp_path / 'raw', monkeypatch)
  _declare(monkeypatch, expected=None, protocols={})
  report = check.check('casme2', root)
  assert report.verdict == 'blocked'
  assert report.problems == ['casme2 declares no protocol: give --protocol']
  assert report.expected_clips == []
  # Its only protocol, if it has one, says what is expected.
  _declare(monkeypatch, protocols={'casme2_5class': five})
  report = check.check('casme2', root)
  assert report.verdict == 'differs'
  assert 'casme2_5class: casme2, disgust: 1 clips' in report.problems[1]
