"""Tests of the contact sheet of clips before and after alignment."""

import cv2
import pytest

from dianet_jax.clips import faces
from tfds_builders import align, simulate


@pytest.fixture
def root(tmp_path):
  """A simulated tree with drawn faces."""
  pytest.importorskip(
    'dlib', reason=f'faces are found by dlib: {faces.INSTALL}'
  )
  return simulate.write(
    'casme2', tmp_path / 'raw', subjects=2, clips_per_subject=2
  )


def test_contact_sheet_on_the_command_line(root, tmp_path, monkeypatch, capsys):
  out = tmp_path / 'sheet.png'
  options = ['--dataset=casme2', f'--manual_dir={root}', '--size=96']
  align.main([*options, f'--out={out}', '--clips=2'])
  sheet = cv2.imread(str(out))
  assert sheet.shape == (2 * 96, 4 * 96, 3)
  assert '2 of 4 clips' in capsys.readouterr().out
  # The green square, and faces beside it.
  assert (sheet[:96, :96] == [0, 255, 0]).all(axis=2).any()
  assert sheet[:96, 96:192].std() > 20

  def none(frame, size):
    raise faces.NoFaceError('no face was found')

  monkeypatch.setattr(faces, 'find_transform', none)
  align.main([*options, f'--out={out}', '--clips=2'])
  assert 'no face was found' in capsys.readouterr().out
  assert not cv2.imread(str(out))[:, 96:].any()
  with pytest.raises(SystemExit, match='error: .* cannot be written'):
    align.main([*options, f'--out={tmp_path / "sheet.txt"}'])


def test_contact_sheet_of_a_data_set_without_frames(tmp_path):
  with pytest.raises(SystemExit, match='error: .* no frames to align'):
    align.main(
      ['--dataset=megc2019_flow', f'--manual_dir={tmp_path}', '--out=a.png']
    )
