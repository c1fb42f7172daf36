"""The web app: its limits without a browser, and a complete use in one."""

import os
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from dianet_jax import __main__ as cli
from dianet_jax.core import errors
from dianet_jax.experiments import app
from dianet_jax.inference import folder
from tests.support import browser, documents, small_bundles, videos

STILL = np.full((3, 64, 64, 3), 128, np.uint8)


class Commands:
  """Writes a given report and records its arguments."""

  def __init__(self, report=None, output=''):
    self.report, self.output = report, output

  def run(self, arguments):
    self.arguments = arguments
    [out] = [a.removeprefix('--out=') for a in arguments if '--out=' in a]
    if self.report:
      (pathlib.Path(out) / 'report.html').write_text(self.report)
    return self.output


@pytest.fixture
def video(tmp_path):
  return videos.write(tmp_path / 'clip.mkv', STILL)


def test_the_report_names_no_folder(video, tmp_path):
  commands = Commands(f'<h2>{video}</h2>')
  report = app.predict(commands, video, tmp_path / 'bundle', 0.5, 1.5)
  assert report == '<h2>clip.mkv</h2>'
  assert f'--bundle={tmp_path}/bundle' in commands.arguments
  assert {'--start=0.5', '--end=1.5'} <= set(commands.arguments)
  assert commands.arguments[-2:] == ['--', str(video)]


def test_a_command_without_a_report_is_an_error(video):
  commands = Commands(output='error: end=0.1: expected more.\n')
  with pytest.raises(errors.UserError, match='^end=0.1: expected more.$'):
    app.predict(commands, video, folder.SHIPPED)


def test_a_video_that_is_too_long_is_refused(tmp_path):
  long = videos.write(tmp_path / 'a.mkv', STILL, np.array([0, 60, 121]))
  with pytest.raises(errors.UserError, match='lasts 121 seconds.*allows 120'):
    app.predict(Commands(), long, folder.SHIPPED)


def test_a_file_that_is_not_a_video_is_refused(tmp_path):
  path = tmp_path / 'clips.csv'
  path.write_text('clip\n/etc/passwd\n')
  with pytest.raises(errors.UserError, match='is not a readable video'):
    app.predict(Commands(), path, folder.SHIPPED)


@pytest.mark.slow
def test_a_computation_that_lasts_too_long_is_ended(monkeypatch):
  monkeypatch.setattr(app, '_MOST_COMPUTING_SECONDS', 0.01)
  commands = app.Commands()
  with pytest.raises(errors.UserError, match='more than 0.01 seconds'):
    commands.run(['--help'])
  assert commands._process.poll() is not None


def test_a_file_is_deleted_with_its_last_session(tmp_path):
  mine, shared = tmp_path / '1' / 'a.mp4', tmp_path / '2' / 'b.mp4'
  uploads = app.Uploads()
  for path in (mine, shared):
    path.parent.mkdir()
    path.touch()
    uploads.keep('one', path)
  uploads.keep('two', shared)
  uploads.forget('one')
  assert not mine.parent.exists() and shared.exists()
  uploads.forget('two')
  uploads.forget('unknown')
  assert not shared.parent.exists() and tmp_path.exists()


def test_a_report_cannot_leave_its_frame():
  found = app.framed('<p title="\'">"></iframe><script>')
  assert found.count('<iframe') == found.count('</iframe>') == 1
  assert '<script' not in found and ' sandbox ' in found


def test_a_missing_extra_is_reported_in_one_line(monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'gradio', None)
  for name in ('GRADIO_ANALYTICS_ENABLED', 'GRADIO_TEMP_DIR', 'HF_HUB_OFFLINE'):
    monkeypatch.setenv(name, '')
  assert cli.main(['app']) == 1
  assert capsys.readouterr().err == (
    "error: The page needs Gradio. Install the extra 'app': pip install"
    " 'dianet-jax[app]'\n"
  )


def _files(place):
  return [path for path in place.rglob('*') if path.is_file()]


@pytest.mark.slow
def test_upload_and_result_in_a_browser(tmp_path):
  pytest.importorskip('gradio', reason=f'makes the page: {app.INSTALL}')
  folder.save(small_bundles.make(members=1), tmp_path / 'bundle')
  video = videos.write(tmp_path / '<b>&.webm', STILL, codec='libvpx')
  place = tmp_path / 'tmp'
  place.mkdir()
  server = subprocess.Popen(
    [sys.executable, '-m', 'dianet_jax', 'app', str(tmp_path / 'bundle')],
    cwd=documents.ROOT,
    env=os.environ | {'TMPDIR': str(place), 'DIANET_CACHE': str(tmp_path)},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  try:
    url = server.stdout.readline().strip()
    assert re.fullmatch(r'http://127\.0\.0\.1:\d+/', url), url
    with browser.opened() as (page, asked):
      page.set_default_timeout(120_000)
      page.goto(url)
      predict = page.get_by_role('button', name='Predict')
      predict.click()
      page.get_by_text('Choose or record a video first').wait_for()
      page.locator('input[type=file]').first.set_input_files(video)
      page.locator('video').wait_for()
      assert _files(place)
      predict.click()
      report = page.frame_locator('iframe[title=Report]')
      report.get_by_role('heading', name='.webm').wait_for()
      assert report.get_by_text('is used as the apex').count() == 1
      assert report.locator('script').count() == 0
      outside = [a for a in asked if not a.startswith((url, 'data:', 'blob:'))]
      assert len(asked) > 10 and outside == []
    # The server notices within a few seconds that nobody looks any more.
    end = time.monotonic() + 60
    while _files(place) and time.monotonic() < end:
      time.sleep(0.5)
    assert _files(place) == []
  finally:
    server.terminate()
    server.wait(30)
    server.stdout.close()
  assert list(place.iterdir()) == []
