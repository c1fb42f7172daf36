"""From a file to a report, by the command."""

import csv
import dataclasses
import json
import re

import cv2
import numpy as np
import pytest

from dianet_jax import __main__ as cli
from dianet_jax.clips import long_videos
from dianet_jax.core import errors, progress
from dianet_jax.experiments import predict
from dianet_jax.inference import folder, outputs, sources, spotters
from tests.support import faces_that_move as film
from tests.support import moving, small_bundles, videos
from tests.support.small_bundles import written
from tfds_builders import simulate

SHARES = np.concatenate([np.linspace(0, 1, 9), np.linspace(1, 0, 9)[1:]])


@pytest.fixture(scope='module')
def clip():
  return moving.clip(
    lambda x, y: (2 * np.exp(-((x - 30) ** 2) / 60), 0 * y), SHARES
  )


@pytest.fixture(scope='module')
def bundle():
  return small_bundles.make(members=1)


@pytest.fixture
def start(written, tmp_path, capsys):
  """Runs the command; status, what it printed, its folder."""

  def run(*arguments):
    out = tmp_path / 'out'
    status = cli.main(
      ['predict', *map(str, arguments), f'--bundle={written}', f'--out={out}']
    )
    return status, capsys.readouterr(), out

  return run


def table(out):
  with (out / 'predictions.csv').open(newline='') as file:
    return list(csv.DictReader(file))


def test_a_video_becomes_a_report(start, bundle, clip, tmp_path):
  video = videos.write(tmp_path / 'a.mkv', clip)
  status, printed, out = start(video)
  assert status == 0 and 'surprise 0.' in printed.out
  [row] = table(out)
  expected = bundle.predict(clip, fps=100)
  assert row['prediction'] == expected.label
  for name, probability in expected.probabilities.items():
    assert float(row[f'p_{name}']) == pytest.approx(probability, abs=1e-6)
  assert (row['onset'], row['apex'], row['offset']) == ('0', '8', '16')
  assert float(row['apex_seconds']) == pytest.approx(0.08)
  content = json.loads((out / 'prediction.json').read_text())
  assert [c['name'] for c in content['columns']] == list(row)
  assert content['clips'][0]['p_surprise'] == float(row['p_surprise'])
  page = (out / 'report.html').read_text()
  # Three key frames, two motion images, and what explains: the regions and a
  # map of each backbone and of each attention. Nothing from elsewhere.
  assert len(re.findall('src="data:image/', page)) == 3 + 2 + 1 + 2 + 2
  assert 'Evidence for' in page and '<td>mouth</td>' in page
  assert '<polyline' in page
  assert 'src="http' not in page and '<script' not in page


def test_a_part_of_a_longer_video(start, clip, tmp_path):
  still = np.repeat(clip[:1], 30, axis=0)
  alone = videos.write(tmp_path / 'a.mkv', clip)
  inside = videos.write(
    tmp_path / 'b.mkv', np.concatenate([still, clip, still])
  )
  *_, out = start(alone)
  [first] = table(out)
  *_, out = start(inside, '--onset=30', '--offset=46')
  [second] = table(out)
  assert second['onset'] == '30' and second['apex'] == '38'
  for name in ('prediction', 'p_negative', 'p_positive', 'p_surprise'):
    assert first[name] == second[name]


def test_a_program_reads_json_and_nothing_else(
  start, clip, tmp_path, monkeypatch
):
  # Put back afterwards.
  monkeypatch.setattr(progress.console, 'stderr', False)
  status, printed, out = start(videos.write(tmp_path / 'a.mkv', clip), '--json')
  assert status == 0 and 'Clips' in printed.err
  assert json.loads(printed.out) == json.loads(
    (out / 'prediction.json').read_text()
  )


def test_a_failing_clip_does_not_stop_the_others(start, clip, tmp_path):
  good = videos.write(tmp_path / '=cmd.mkv', clip)
  bad = tmp_path / '<img src=x onerror=alert(1)>.mp4'
  bad.write_bytes(b'nothing')
  status, printed, out = start(bad, good)
  assert status == 1
  assert 'is not a readable video' in printed.err and '=cmd.mkv' in printed.out
  first, second = table(out)
  assert 'is not a readable video' in first['error'] and not first['prediction']
  assert second['prediction'] and not second['error']
  page = (out / 'report.html').read_text()
  assert '<img src=x' not in page and '&lt;img src=x' in page


def test_a_list_of_clips(start, clip, tmp_path):
  frames = tmp_path / 'frames'
  frames.mkdir()
  for number, image in enumerate(clip):
    cv2.imwrite(str(frames / f'{number}.png'), image[..., ::-1])
  videos.write(tmp_path / 'a.mkv', clip)
  listed = tmp_path / 'clips.csv'
  listed.write_text(
    'clip,onset,apex,offset,fps\na.mkv,2,8,14,\nframes,,,,100\n'
  )
  status, _, out = start(listed)
  assert status == 0
  first, second = table(out)
  assert (first['onset'], first['offset']) == ('2', '14')
  assert first['apex_source'] == 'given'
  assert (second['onset'], second['offset']) == ('0', '16')


@pytest.mark.parametrize(
  'text,reason',
  [
    ('', r'columns are None. Expected clip'),
    ('clip,onse\n', r'Expected clip and any of fps, onset'),
    ('clip\n', 'lists no clip'),
    ('clip,onset\na,x\n', "line 2: onset='x', expected a whole number"),
    ('clip,fps\na,x\n', "line 2: fps='x', expected a number"),
    ('clip\na,b\n', 'line 2: more cells'),
    ('clip,fps\n,3\n', 'line 2: the column clip is empty'),
    ('clip\n"a', 'cannot be read'),
  ],
)
def test_an_invalid_list_is_refused(tmp_path, text, reason):
  path = tmp_path / 'list.csv'
  path.write_text(text)
  with pytest.raises(errors.UserError, match=reason):
    sources.read_list(path, None)


def test_key_frames_are_of_one_clip(start, tmp_path):
  status, printed, _ = start(
    tmp_path / 'a.mkv', tmp_path / 'b.mkv', '--onset=3'
  )
  assert status == 1 and 'gives 2' in printed.err


@pytest.mark.parametrize(
  'arguments',
  [[], ['--dataset=casme2'], ['a.mkv', '--dataset=casme2', '--manual_dir=x']],
)
def test_a_wrong_command_line_ends_with_2(start, arguments, capsys):
  with pytest.raises(SystemExit) as ended:
    start(*arguments)
  assert ended.value.code == 2
  assert 'dianet predict' in capsys.readouterr().err


def test_every_column_is_explained(bundle):
  for column in outputs.columns(bundle.classes):
    assert column.meaning
  documented = {c.name for c in outputs.columns(bundle.classes)}
  assert {'clip', 'prediction', 'apex_seconds', 'error'} <= documented


@pytest.mark.slow
def test_a_raw_data_set_is_compared_with_its_labels(tmp_path, monkeypatch):
  monkeypatch.setenv('DIANET_CACHE', str(tmp_path / 'cache'))
  raw = simulate.write(
    'casme2', tmp_path / 'raw', subjects=2, clips_per_subject=5
  )
  five = ('happiness', 'disgust', 'repression', 'surprise', 'others')
  bundle = small_bundles.make(members=1, classes=five)
  figures = predict.predict_data_set(bundle, 'casme2', str(raw), tmp_path / 'o')
  assert figures['n'] == 10 and figures['seen'] and figures['simulated']
  rows = table(tmp_path / 'o')
  right = np.mean([row['truth'] == row['prediction'] for row in rows])
  assert figures['accuracy'] == pytest.approx(right)
  assert 0 <= figures['uf1'] <= 1 and 0 <= figures['uar'] <= 1
  with pytest.raises(errors.UserError, match='has the bundle'):
    predict.protocol_for(bundle, 'smic')


@pytest.fixture
def pattern_spotter(monkeypatch):
  row = dataclasses.replace(long_videos.MOVEMENT, find=film.find)
  spotters.SPOTTERS.register('pattern', row)
  monkeypatch.setattr(predict, 'SPOTTER', 'pattern')
  yield
  spotters.SPOTTERS.unregister('pattern')


def test_a_long_video_is_spotted_first(
  start, bundle, pattern_spotter, tmp_path
):
  courses = {'brow': [film.once(1, 1.4, 2)], 'mouth': [film.once(3, 3.4, 2)]}
  images = np.stack([f.image() for f in film.frames(5, courses)])
  seconds = np.arange(len(images)) / film.FPS
  status, printed, out = start(
    videos.write(tmp_path / 'a.mkv', images, seconds),
    videos.write(tmp_path / 'b.mkv', images[:1].repeat(110, 0), seconds[:110]),
  )
  assert status == 0 and printed.out.count('(micro, score ') == 2
  assert 'no expression was spotted in 2.2 seconds' in printed.out
  *rows, silent = table(out)
  assert silent['prediction'] == '' and silent['kind'] == ''
  for row, apex in zip(rows, (60, 160), strict=True):
    keys = {key: int(row[key]) for key in ('onset', 'apex', 'offset')}
    assert abs(keys['apex'] - apex) <= 2 and row['apex_source'] == 'spotted'
    assert float(row['spotting_score']) > 7 and row['kind'] == 'micro'
    expected = bundle.predict(images, fps=film.FPS, **keys)
    assert row['prediction'] == expected.label
    for name, probability in expected.probabilities.items():
      assert float(row[f'p_{name}']) == pytest.approx(probability, abs=1e-4)
