"""The accelerator's benchmark, on small sizes and with a failing row."""

import importlib.util
import json

import pytest

from benchmarks import accelerator
from benchmarks import accelerator_parts as parts


def rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_that_fails_is_kept_and_the_rest_measured(
  tmp_path, monkeypatch, capsys
):
  def fails():
    yield 'first', {'GB/s': 1.0}
    raise ValueError('no such compiler')

  def works():
    yield 'last', {'ms': 2.0}

  monkeypatch.setattr(
    accelerator, 'measurements', lambda size, part: [fails, works]
  )
  out = tmp_path / 'new' / 'rows.jsonl'
  accelerator.measure(parts.MINIATURE, 1, out, 1)
  first, failed, last = rows(out)
  assert first['GB/s'] == 1.0 and last['ms'] == 2.0
  assert 'no such compiler' in failed['failed']
  assert {'device', 'jax', 'date', 'part'} < first.keys()
  assert 'no such compiler' in capsys.readouterr().out
  # Nothing is begun when the time is over.
  accelerator.measure(parts.MINIATURE, 1, tmp_path / 'late', 0)
  assert [row['name'] for row in rows(tmp_path / 'late')] == ['first', 'part 1']


@pytest.mark.slow
@pytest.mark.parametrize('part', [1, 2, 3, 4, 5])
def test_in_miniature(tmp_path, part):
  out = tmp_path / 'rows.jsonl'
  accelerator.measure(parts.MINIATURE, part, out, 5)
  found = rows(out)
  failed = [row for row in found if 'failed' in row]
  if part == 4 and not importlib.util.find_spec('torch'):
    assert failed[0]['failed'] == 'not installed'
    return
  assert found and not failed, failed
  if part == 2:
    assert all(row['ms a step and fold'] > 0 for row in found)
  if part == 5:
    first, resumed = found
    assert first['Training'] > 0 and resumed['same bits']
