"""The notebook is generated from its source, has no outputs, and runs."""

import json
import os
import pathlib

import pytest

from tests.support import documents

SOURCE = documents.ROOT / 'notebooks' / 'demo.py'
NOTEBOOK = SOURCE.with_suffix('.ipynb')
DEMO = '--config=configs/demo.py'
# The same, but for what lasts.
SMALL = (
  '--config.train.epochs=2 --config.data.simulation.subjects=2'
  ' --config.data.simulation.clips_per_subject=5'
)


def test_it_is_generated_from_its_source():
  jupytext = pytest.importorskip('jupytext', reason='reads the source')
  made = jupytext.read(SOURCE)
  document = json.loads(NOTEBOOK.read_text(encoding='utf-8'))
  assert len(document['cells']) == len(made.cells) > 10
  for there, cell in zip(document['cells'], made.cells, strict=True):
    assert there['cell_type'] == cell.cell_type
    assert ''.join(there['source']) == cell.source


def test_it_holds_no_outputs():
  document = json.loads(NOTEBOOK.read_text(encoding='utf-8'))
  code = [cell for cell in document['cells'] if cell['cell_type'] == 'code']
  assert code and not any(cell['outputs'] for cell in code)


@pytest.mark.slow
# Jupyter's own, of its sockets.
@pytest.mark.filterwarnings('ignore')
def test_it_runs_from_start_to_end(tmp_path, monkeypatch):
  nbclient = pytest.importorskip('nbclient', reason='runs notebooks')
  nbformat = pytest.importorskip('nbformat', reason='reads notebooks')
  for package in ('ipykernel', 'dlib', 'skimage', 'av'):
    pytest.importorskip(package, reason='the notebook needs it')
  for name in ('DIANET_CACHE', 'TMPDIR', 'IPYTHONDIR'):
    monkeypatch.setenv(name, str(tmp_path))
  paths = [str(documents.ROOT), os.environ.get('PYTHONPATH', '')]
  monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, paths)))
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  [training] = [c for c in notebook.cells if DEMO in c.source]
  training.source = training.source.replace(DEMO, f'{DEMO} {SMALL}')
  client = nbclient.NotebookClient(
    notebook,
    timeout=300,
    kernel_name='python3',
    resources={'metadata': {'path': str(SOURCE.parent)}},
  )
  client.execute()
  printed = ''.join(
    output.get('text', '')
    for cell in notebook.cells
    for output in cell.get('outputs', [])
  )
  assert '10 clips' in printed and 'brows.mp4: ' in printed
  shown = [
    kind
    for cell in notebook.cells
    for output in cell.get('outputs', [])
    for kind in output.get('data', {})
  ]
  # Two reports, one figure.
  assert shown.count('text/html') == 2 and shown.count('image/png') == 1
  assert list(pathlib.Path(tmp_path).glob('*/prediction/report.html'))
