"""predictions.csv: read in any order; invalid files are refused."""

import dataclasses
import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.evaluation import predictions
from tests.support import prediction_files


def test_what_is_read_is_what_was_written(tmp_path):
  rows = prediction_files.rows()
  run = predictions.load(prediction_files.write(tmp_path, rows))
  assert run.seeds == (0, 1) and run.classes == prediction_files.CLASSES
  assert len(run.clips) == 40 and set(run.datasets) == {'casme2', 'samm'}
  assert run.clips == tuple(sorted(run.clips))
  assert run.predictions.shape == (2, 40)
  assert run.probabilities.shape == (2, 40, 3)
  for row in rows:
    clip = run.clips.index((row['dataset'], row['clip_id']))
    seed = run.seeds.index(int(row['seed']))
    assert run.subjects[clip] == row['fold']
    assert run.classes[run.truth[clip]] == row['truth']
    assert run.classes[run.predictions[seed, clip]] == row['prediction']
    for index, name in enumerate(run.classes):
      assert run.probabilities[seed, clip, index] == float(row[f'p_{name}'])
  file = predictions.load(tmp_path / 'predictions.csv')
  assert file.clips == run.clips and run.remark == ''


@settings(max_examples=15, deadline=None)
@given(order=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_does_not_matter(
  tmp_path_factory, order: random.Random
):
  rows = prediction_files.rows(subjects=4)
  folder = tmp_path_factory.mktemp('run')
  plain = predictions.load(prediction_files.write(folder, rows))
  columns = list(prediction_files.COLUMNS[:6])
  order.shuffle(rows)
  order.shuffle(columns)
  columns += prediction_files.COLUMNS[6:]
  mixed = predictions.load(prediction_files.write(folder, rows, columns))
  for field in dataclasses.fields(plain):
    np.testing.assert_array_equal(
      getattr(mixed, field.name), getattr(plain, field.name)
    )


def test_unknown_columns_and_a_byte_order_mark_are_ignored(tmp_path):
  rows = prediction_files.rows()
  for row in rows:
    row['oracle_prediction'] = 'anything'
  file = prediction_files.write(tmp_path, rows) / 'predictions.csv'
  file.write_bytes(b'\xef\xbb\xbf' + file.read_bytes())
  assert predictions.load(tmp_path).classes == prediction_files.CLASSES


def test_classes_in_another_order(tmp_path):
  run = predictions.load(
    prediction_files.write(tmp_path, prediction_files.rows())
  )
  turned = run.with_classes(('surprise', 'negative', 'positive'))
  for one in (turned, turned.with_classes(run.classes)):
    names = np.array(one.classes)
    np.testing.assert_array_equal(
      names[one.predictions], np.array(run.classes)[run.predictions]
    )
    np.testing.assert_array_equal(
      names[one.truth], np.array(run.classes)[run.truth]
    )
    agree = one.probabilities.argmax(axis=-1) == one.predictions
    assert agree.all()
  assert turned.classes != run.classes


def test_simulated_data_and_controls_are_marked(tmp_path):
  prediction_files.write(tmp_path, prediction_files.rows())
  kept = tmp_path / 'metrics.json'
  kept.write_text(json.dumps({'simulated': True, 'control': True}))
  remark = predictions.load(tmp_path).remark
  assert remark == 'SIMULATED DATA, CONTROL WITH SHUFFLED LABELS'
  for broken in ('{', '[]', '{"simulated": "yes"}', '7'):
    kept.write_text(broken)
    assert predictions.load(tmp_path).remark == ''


# What is done to the rows -> what the message says.
_BAD_ROWS = {
  'truth': (lambda rows: rows[3].update(truth='anger'), "line 5.*'anger'"),
  'prediction': (
    lambda rows: rows[3].update(prediction=''),
    "line 5: prediction ''",
  ),
  'seed': (lambda rows: rows[0].update(seed='1.5'), "line 2: seed '1.5'"),
  'twice': (lambda rows: rows.append(rows[0]), 'line 82.*second time.*line 2'),
  'incomplete': (lambda rows: rows.pop(), 'seed 1 has no row for 1 clip'),
  'two_truths': (
    lambda rows: (
      rows[-1].update(truth='negative', prediction='negative')
      or rows[-1].update(p_negative='1', p_positive='0', p_surprise='0')
      or rows[39].update(truth='positive')
    ),
    "line 81.*'negative'.*'positive' in line 41",
  ),
  'two_subjects': (
    lambda rows: rows[-1].update(fold='samm/other'),
    "line 81.*'samm/other'",
  ),
  'sum': (lambda rows: rows[5].update(p_negative='0.9999'), 'line 7.*add up'),
  'nan': (lambda rows: rows[5].update(p_negative='nan'), 'line 7.*0 to 1'),
  'negative': (lambda rows: rows[5].update(p_negative='-1'), 'line 7.*0 to 1'),
  'word': (lambda rows: rows[5].update(p_negative='x'), 'line 7.*0 to 1'),
  'argmax': (
    lambda rows: rows[5].update(
      prediction='negative', p_negative='0', p_positive='0', p_surprise='1'
    ),
    "line 7: the prediction is 'negative'.*'surprise'",
  ),
}


@pytest.mark.parametrize('case', _BAD_ROWS)
def test_bad_rows_are_named(tmp_path, case):
  spoil, message = _BAD_ROWS[case]
  rows = prediction_files.rows()
  spoil(rows)
  prediction_files.write(tmp_path, rows)
  with pytest.raises(errors.UserError, match=f'predictions.csv.*{message}'):
    predictions.load(tmp_path)


_HEADER = ','.join(prediction_files.COLUMNS)
_BAD_FILES = {
  'empty': (b'', 'missing column.* seed, .*the file has: none'),
  'header_only': (_HEADER.encode(), 'no predictions'),
  'no_classes': (
    _HEADER.split(',p_')[0].encode(),
    'missing column.* p_<class>',
  ),
  'no_fold': (
    _HEADER.replace('fold,', '').encode(),
    'missing column.* fold',
  ),
  'semicolons': (
    _HEADER.replace(',', ';').encode(),
    'missing column.* seed',
  ),
  'column_twice': ((_HEADER + ',p_surprise').encode(), "'p_surprise' occurs"),
  'short_row': (f'{_HEADER}\n0,s,d,c\n'.encode(), 'line 2: expected 9 values'),
  'long_row': (
    f'{_HEADER}\n{",".join("0" * 10)}\n'.encode(),
    'line 2: expected 9 values',
  ),
  'latin_1': (f'{_HEADER}\n0,s,d,\xe9\n'.encode('latin-1'), 'cannot be read'),
  'binary': (b'\x00\xff\xfe' * 100, 'cannot be read'),
  'open_quote': (f'{_HEADER}\n0,"s,d'.encode(), 'cannot be read'),
  'huge_field': (f'{_HEADER}\n{"0" * 200_000},'.encode(), 'cannot be read'),
}


@pytest.mark.parametrize('case', _BAD_FILES)
def test_bad_files_are_named(tmp_path, case):
  content, message = _BAD_FILES[case]
  (tmp_path / 'predictions.csv').write_bytes(content)
  with pytest.raises(errors.UserError, match=f'predictions.csv.*{message}'):
    predictions.load(tmp_path)


def test_a_missing_run_is_named(tmp_path):
  with pytest.raises(errors.UserError, match='nothing.*No such file.*finished'):
    predictions.load(tmp_path / 'nothing')
  with pytest.raises(errors.UserError, match='predictions.csv.*No such file'):
    predictions.load(tmp_path)


@pytest.mark.parametrize('content', ['[' * 10**5, '[]', 'null', '{"a": 1}'])
def test_invalid_metrics_files_are_ignored(tmp_path, content):
  folder = prediction_files.write(tmp_path / 'run', prediction_files.rows())
  (folder / 'metrics.json').write_text(content)
  assert predictions.load(folder).remark == ''
