"""Drawn raw trees are read as they were planted, or refused with a name.

Many more than by default: FUZZ_EXAMPLES=5000 python -m pytest -n 0
tests/tfds_builders/fuzz_test.py, which draws others each time.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import tempfile

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from dianet_jax.clips import images
from dianet_jax.core import errors
from tests.support import planted_trees, tree_edits, tree_strategies

# Imported to be known to `tree_edits`.
from tests.support.edits import cells, flow, folders, pictures, sheets
from tfds_builders import prepare, protocols, registry

_MANY = int(os.environ.get('FUZZ_EXAMPLES', 0))
_SECONDS = 20
# As far as a JPEG may be from what was encoded; pictures differ by 30 or more.
_MOST_DIFFERENCE = 8.0
_PROTOCOLS = {
  'casme2': 'casme2_5class', 'samm': 'samm_5class', 'mmew': 'mmew_7class',
  'smic': 'smic_3class', 'casme3': 'casme3_7class',
  'megc2019': 'megc2019_3class', 'megc2019_flow': 'megc2019_3class',
}  # fmt: skip


@contextlib.contextmanager
def _in_time():
  """Ends a test that hangs."""

  def stop(*_):
    raise AssertionError(f'took more than {_SECONDS} s')

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(_SECONDS)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _read(dataset: str, root: pathlib.Path, cache: pathlib.Path):
  """What `tree_strategies.expected` tells, as it is read, and the notes."""
  prepared = prepare.prepare(dataset, root, cache)
  protocol = protocols.get(_PROTOCOLS[dataset])
  found = {}
  for record in prepared.source:
    clip_id, subject, emotion = (
      record[key].decode() for key in ('clip_id', 'subject', 'emotion')
    )
    label = protocol.class_of(clip_id, emotion)
    if dataset == 'megc2019_flow':
      apex, numbers = None, [0, 1]
      encoded = [record['onset_apex'], record['apex_offset']]
    else:
      numbers = [int(number) for number in record['frame_numbers']]
      encoded = record['frames']
      apex = numbers[record['apex']]
      assert (record['onset'], record['offset']) == (0, len(numbers) - 1)
    pictures = {
      number: images.decode(data)
      for number, data in zip(numbers, encoded, strict=True)
    }
    class_ = None if label is None else protocol.classes[label]
    assert clip_id.casefold() not in found
    found[clip_id.casefold()] = (subject, class_, apex, pictures)
  assert not prepared.left_out
  return found


def _check_same(found, expected):
  assert sorted(found) == sorted(expected)
  for clip_id, (subject, class_, apex, planted) in expected.items():
    got_subject, got_class, got_apex, got_pictures = found[clip_id]
    assert (clip_id, got_subject, got_class) == (clip_id, subject, class_)
    assert apex is None or got_apex == apex, clip_id
    assert list(got_pictures) == sorted(planted), clip_id
    for number, picture in planted.items():
      got = got_pictures[number]
      assert got.shape == picture.shape, (clip_id, number)
      difference = np.abs(got.astype(int) - picture).mean()
      assert difference < _MOST_DIFFERENCE, (clip_id, number, difference)


def _check(tree: planted_trees.Tree, folder: pathlib.Path) -> None:
  root = folder / 'tree'
  tree.write(root)
  try:
    found = _read(tree.dataset, root, folder / 'cache')
  except errors.UserError as error:
    text = str(error).casefold()
    assert tree.may_fail, f'refused: {text}'
    names = [name.casefold() for name in tree.named]
    assert any(name in text for name in names), (names, text)
    return
  assert not tree.must_fail, 'accepted'
  _check_same(found, tree_strategies.expected(tree))


@st.composite
def _trees(draw, dataset):
  tree = tree_strategies.draw_tree(draw, dataset)
  tree_edits.draw_edits(draw, tree)
  return tree


@pytest.mark.parametrize('dataset', registry.names())
def test_a_tree_is_read_as_planted_or_refused(dataset):
  @hypothesis.settings(
    max_examples=_MANY or 32,
    # The same ones in every run of the suite.
    derandomize=not _MANY,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    report_multiple_bugs=False,
  )
  @hypothesis.given(_trees(dataset))
  def check(tree):
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
      with _in_time():
        _check(tree, folder)
    finally:
      shutil.rmtree(folder)

  check()
