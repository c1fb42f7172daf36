"""A page in the browser: dianet app [BUNDLE ...].

A video is uploaded or recorded, a bundle chosen, and the report shown. By
default the page is available only on this machine, and it contacts no other.
Each prediction is one `dianet predict` in its own process, so that neither a
damaged video nor a long computation can stop the page.
"""

import argparse
import base64
from collections.abc import Mapping, Sequence
import contextlib
import functools
import html
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
from typing import Any

from dianet_jax.clips import video
from dianet_jax.core import errors
from dianet_jax.inference import folder

INSTALL = "pip install 'dianet-jax[app]'"
_MOST_MEGABYTES = 200
_MOST_SECONDS = 120
_MOST_COMPUTING_SECONDS = 180
_LOCAL = '127.0.0.1'
_ABOUT = f"""# Micro-expressions in a video

Choose a video of at most {_MOST_SECONDS} seconds and {_MOST_MEGABYTES} MB, or
record one. Best is a frontal face, at least 200 pixels wide, at 100 frames per
second or more. Webcams have fewer frames and strong compression, so use them
only for demonstrations. No data leave this machine, and uploads are removed
when you close the page.

A facial movement does not prove an emotion. Do not use this for decisions about
people.
"""


class Commands:
  """Runs commands of `dianet` in separate processes, one at a time."""

  def __init__(self) -> None:
    self._process: subprocess.Popen[str] | None = None

  def run(self, arguments: Sequence[str]) -> str:
    """Runs a command and waits for it.

    Args:
      arguments: name and arguments of the command.

    Returns:
      Its standard error output.

    Raises:
      UserError: it took too long and was stopped.
    """
    self._process = subprocess.Popen(
      [sys.executable, '-P', '-m', 'dianet_jax', *arguments],
      # Import the same modules, regardless of the working folder.
      env=os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )
    with self._process as process:
      try:
        return process.communicate(timeout=_MOST_COMPUTING_SECONDS)[1]
      except subprocess.TimeoutExpired as error:
        process.kill()
        raise errors.UserError(
          f'The prediction took more than {_MOST_COMPUTING_SECONDS} seconds and'
          ' was stopped. Choose a shorter part, by its start and end.'
        ) from error

  def end(self) -> None:
    """Ends what still runs."""
    if self._process is not None:
      self._process.kill()


class Uploads:
  """Tracks uploads by session; a file is removed with its last session."""

  def __init__(self) -> None:
    self._files: dict[str, set[pathlib.Path]] = {}

  def keep(self, session: str, path: pathlib.Path) -> None:
    """Registers a file of a session; it is the only file in its folder."""
    self._files.setdefault(session, set()).add(path)

  def forget(self, session: str) -> None:
    """Removes a session, and its files that no other session uses."""
    mine = self._files.pop(session, set())
    for path in mine.difference(*self._files.values()):
      shutil.rmtree(path.parent, ignore_errors=True)


def predict(
  commands: Commands,
  path: pathlib.Path,
  bundle: pathlib.Path,
  start: float = 0.0,
  end: float | None = None,
) -> str:
  """The report of one video.

  Args:
    commands: runs the prediction.
    path: of the video.
    bundle: folder of `dianet export`.
    start: of the clip, in seconds since the first frame.
    end: of the clip, in seconds; None: the last frame.

  Returns:
    A page in HTML, with the error if the clip could not be predicted.

  Raises:
    UserError: the video cannot be read or is too long, the seconds define no
      clip, or the computation takes too long.
  """
  seconds = video.Video(path).duration()
  if seconds > _MOST_SECONDS:
    raise errors.UserError(
      f'{path.name} lasts {seconds:.0f} seconds, and this page allows'
      f' {_MOST_SECONDS}. Shorten it, or use the command: dianet predict VIDEO'
      ' --start=SECONDS --end=SECONDS.'
    )
  with tempfile.TemporaryDirectory() as out:
    arguments = ['predict', f'--bundle={bundle}', f'--out={out}']
    if start:
      arguments.append(f'--start={start}')
    if end is not None:
      arguments.append(f'--end={end}')
    output = commands.run([*arguments, '--', str(path)])
    report = pathlib.Path(out) / 'report.html'
    if not report.is_file():
      raise errors.UserError(output.strip().removeprefix('error: '))
    # The temporary path of the video is of no use to the reader.
    return report.read_text(encoding='utf-8').replace(f'{path.parent}/', '')


def framed(report: str) -> str:
  """Embeds a page in an isolated frame.

  Args:
    report: a complete page in HTML.

  Returns:
    Markup of a frame without scripts, and of a link that saves the page.
  """
  encoded = base64.b64encode(report.encode()).decode()
  return (
    f'<a download="report.html" href="data:text/html;base64,{encoded}">Save the'
    ' report</a><iframe title="Report" sandbox style="width: 100%; height:'
    f' 80vh; border: 0" srcdoc="{html.escape(report)}"></iframe>'
  )


def page(
  gr: Any, bundles: Mapping[str, pathlib.Path], commands: Commands
) -> Any:
  """The page as Gradio's blocks.

  Args:
    gr: the module `gradio`.
    bundles: name -> folder; the first one is chosen at the start.
    commands: runs predictions.
  """
  uploads = Uploads()

  def keep(path, request):
    if path:
      uploads.keep(request.session_hash, pathlib.Path(path))

  def forget(request):
    uploads.forget(request.session_hash)

  # Gradio passes the request to parameters with this annotation.
  keep.__annotations__['request'] = gr.Request
  forget.__annotations__['request'] = gr.Request

  # Shown for half a minute, and not as an error of the program.
  wrong = functools.partial(gr.Error, duration=30, print_exception=False)

  def show(path, bundle, start, end):
    if not path:
      raise wrong('Choose or record a video first.')
    try:
      report = predict(
        commands, pathlib.Path(path), bundles[bundle], start or 0, end or None
      )
    except errors.UserError as error:
      text = str(error).replace(f'{pathlib.Path(path).parent}/', '')
      raise wrong(html.escape(text)) from error
    return framed(report)

  with gr.Blocks(title='dianet', analytics_enabled=False) as blocks:
    gr.Markdown(_ABOUT)
    with gr.Row():
      with gr.Column(scale=1):
        source = gr.Video(
          label='Video',
          sources=['upload', 'webcam'],
          webcam_options=gr.WebcamOptions(mirror=False),
          include_audio=False,
        )
        # Otherwise Gradio removes the sound with a program that may be missing.
        source.preprocess = lambda payload: payload and payload.path
        bundle = gr.Dropdown(list(bundles), label='Bundle')
        with gr.Row():
          start = gr.Number(None, label='Start (seconds)')
          end = gr.Number(None, label='End (seconds; 0: the last frame)')
        button = gr.Button('Predict', variant='primary')
      with gr.Column(scale=2):
        result = gr.HTML(label='Report')
    source.change(keep, source, None, queue=False)
    button.click(show, [source, bundle, start, end], result)
    blocks.unload(forget)
  return blocks


def _gradio(place: str) -> Any:
  """Imports Gradio, set to store files in `place` and contact no server."""
  os.environ |= {
    'GRADIO_ANALYTICS_ENABLED': 'False',
    'GRADIO_TEMP_DIR': place,
    'HF_HUB_OFFLINE': '1',
  }
  try:
    return importlib.import_module('gradio')
  except ImportError as error:
    raise errors.UserError(
      f"The page needs Gradio. Install the extra 'app': {INSTALL}"
    ) from error


def _bundles(paths: Sequence[str]) -> dict[str, pathlib.Path]:
  """Name -> folder of valid bundles, that of the package last."""
  found: dict[str, pathlib.Path] = {}
  for path in (*map(pathlib.Path, paths), folder.SHIPPED):
    name = folder.load(path).name
    found[f'{name} ({path})' if name in found else name] = path.absolute()
  return found


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='dianet app',
    description='Serves a page in the browser that predicts uploaded or'
    ' recorded videos. Ctrl-C stops it.',
  )
  parser.add_argument(
    'bundles',
    nargs='*',
    help='folders written by `dianet export`, in addition to the bundle of the'
    ' package',
  )
  parser.add_argument('--port', type=int, help='default: the first free port')
  parser.add_argument(
    '--host',
    default=_LOCAL,
    help='address to serve on; 0.0.0.0 makes the page available to other'
    ' machines',
  )
  return parser


def main(arguments: Sequence[str]) -> int:
  """Serves the page until a signal stops it.

  Args:
    arguments: of the command line, without the program's name.

  Returns:
    The exit status.

  Raises:
    UserError: Gradio is not installed, a bundle cannot be read, or the port is
      taken.
  """
  options = _parser().parse_args(arguments)
  with contextlib.ExitStack() as stack:
    place = stack.enter_context(tempfile.TemporaryDirectory(prefix='dianet-'))
    gr = _gradio(place)
    commands = Commands()
    stack.callback(commands.end)
    blocks = page(gr, _bundles(options.bundles), commands)
    stack.callback(blocks.close, verbose=False)
    try:
      _, url, _ = blocks.launch(
        server_name=options.host,
        server_port=options.port,
        share=False,
        ssr_mode=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size=f'{_MOST_MEGABYTES}mb',
        allowed_paths=[],
        footer_links=[],
        theme=gr.themes.Base(font=['system-ui', 'sans-serif']),
      )
    except OSError as error:
      raise errors.UserError(
        f'The page cannot be served at {options.host}:{options.port or "any"}'
        f' ({error}). Choose another --port.'
      ) from error
    print(f'{url}\nCtrl-C ends it.', flush=True)
    threading.Event().wait()
  return 0
