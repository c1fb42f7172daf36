"""From long videos to files about them, by the command."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from dianet_jax import __main__ as cli
from dianet_jax.clips import face_blocks, faces, intervals, long_videos
from dianet_jax.core import progress
from dianet_jax.inference import spotters, spotting_files
from tests.support import faces_that_move as film
from tests.support import moving, videos

pytest.importorskip('dlib', reason=f'filmstrips show faces: {faces.INSTALL}')


@pytest.fixture(scope='module')
def frames():
  courses = {'brow': [film.once(4, 4.4, 2)]}
  return np.stack([f.image() for f in film.frames(8, courses)])


@pytest.fixture
def start(monkeypatch, tmp_path, capsys):
  """Runs the command; status, what it printed, its folder."""
  row = dataclasses.replace(long_videos.MOVEMENT, find=film.find)
  spotters.SPOTTERS.register('pattern', row)
  monkeypatch.setattr(progress.console, 'stderr', False)

  def run(*arguments):
    out = tmp_path / 'out'
    named = ['--spotter=pattern', f'--out={out}']
    status = cli.main(['spot', *map(str, arguments), *named])
    return status, capsys.readouterr(), out

  yield run
  spotters.SPOTTERS.unregister('pattern')


def written(path, frames):
  return videos.write(path, frames, np.arange(len(frames)) / film.FPS)


def test_a_video_becomes_files(start, frames, tmp_path):
  path = written(tmp_path / 'a.mkv', frames).rename(tmp_path / '<b>x.mkv')
  missing = tmp_path / 'missing.mkv'
  status, said, out = start(path, missing)
  assert status == 1
  assert '1 micro, 0 macro' in said.out and 'no such file' in said.err
  [[one]] = intervals.read(out / 'intervals.csv').values()
  assert one.iou(intervals.Interval(200, 210, 220, 'micro')) > 0.6
  with (out / 'signal.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0]) == list(
    spotting_files.signal_columns(face_blocks.REGIONS)
  )
  assert [int(row['frame']) for row in rows] == list(range(len(frames)))
  states = [row['state'] for row in rows]
  assert states.count('micro') == len(one) and states[one.apex] == 'micro'
  assert {row['face'] for row in rows} == {'1'}
  held = json.loads((out / 'spotting.json').read_text())
  assert [video['video'] for video in held['videos']] == [
    str(path),
    str(missing),
  ]
  [told] = held['videos'][0]['intervals']
  assert told['onset_seconds'] == pytest.approx(one.onset / film.FPS)
  page = (out / 'report.html').read_text()
  assert page.count('src="data:image/jpeg') == 5
  assert '&lt;b&gt;x' in page and '<b>x' not in page


@pytest.mark.slow
def test_the_annotated_video_shows_every_step(start, frames, tmp_path):
  av = videos.av
  _, _, out = start(written(tmp_path / 'a.mkv', frames))
  [path] = out.glob('001-a.*')
  assert path.name in (out / 'report.html').read_text()
  with av.open(str(path)) as container:
    shown = [
      (float(frame.pts * frame.time_base), frame.to_ndarray(format='rgb24'))
      for frame in container.decode(video=0)
    ]
  assert len(shown) == len(frames)
  assert shown[-1][0] == pytest.approx((len(frames) - 1) / film.FPS, abs=0.002)
  green = [image[1, :100].mean(axis=0) @ [-1, 1, 0] > 40 for _, image in shown]
  [[one]] = intervals.read(out / 'intervals.csv').values()
  assert np.flatnonzero(green).tolist() == list(
    range(one.onset, one.offset + 1)
  )


@pytest.mark.slow
def test_a_folder_of_frames_has_the_intervals_of_the_video(
  start, frames, tmp_path
):
  folder = tmp_path / 'frames'
  folder.mkdir()
  for number, image in enumerate(frames):
    (folder / f'img{number}.png').write_bytes(moving.png(image))
  status, said, out = start(folder, f'--fps={film.FPS}', '--json')
  assert status == 0
  [from_folder] = intervals.read(out / 'intervals.csv').values()
  assert json.loads(said.out)['videos'][0]['frames_per_second'] == film.FPS
  start(written(tmp_path / 'a.mkv', frames))
  [from_video] = intervals.read(out / 'intervals.csv').values()
  assert from_folder == from_video != []


def test_silence_is_written_down(start, frames, tmp_path):
  status, said, out = start(written(tmp_path / 'a.mkv', frames[:150]))
  assert status == 0 and '0 micro, 0 macro' in said.out
  assert list(intervals.read(out / 'intervals.csv').values()) == [[]]


@pytest.mark.parametrize(
  'arguments,reason',
  [
    (['--threshold=0'], 'expected a score above 0'),
    (['--threshold=nan'], 'expected a score above 0'),
    (['--fps=50'], 'applies to folders of frames'),
  ],
)
def test_what_makes_no_sense_is_refused(start, tmp_path, arguments, reason):
  status, said, _ = start(tmp_path / 'a.mkv', *arguments)
  assert status == 1 and reason in said.err


def test_a_folder_without_a_rate_and_one_frame_are_told(
  start, frames, tmp_path
):
  folder = tmp_path / 'frames'
  folder.mkdir()
  (folder / 'img0.png').write_bytes(moving.png(frames[0]))
  status, said, _ = start(folder)
  assert status == 1 and '--fps=NUMBER' in said.err
  status, said, _ = start(folder, '--fps=50')
  assert status == 1 and 'fewer than two frames' in said.err
