"""A workdir of something else is refused, with a message."""

import dataclasses
import types

import pytest

from dianet_jax.core import errors
from dianet_jax.experiments import workdirs

DATA = types.SimpleNamespace(fingerprint='ab', simulated=True)


def test_what_was_begun_goes_on_and_nothing_else(make_config, tmp_path):
  config = make_config()
  workdir = tmp_path / 'new' / 'run'
  workdirs.check_config(workdir, config)
  workdirs.check_data(workdir, DATA)
  workdirs.begin(workdir, config, DATA)
  workdirs.check_config(workdir, config)
  workdirs.check_data(workdir, DATA)
  with pytest.raises(errors.UserError, match='seeds: 1 there, 3 here'):
    workdirs.check_config(workdir, dataclasses.replace(config, seeds=3))
  other = types.SimpleNamespace(fingerprint='cd', simulated=True)
  with pytest.raises(errors.UserError, match='raw data have changed'):
    workdirs.begin(workdir, config, other)


def test_rows_of_an_ablation_are_not_its_identity(make_config, tmp_path):
  def make(kind, rows):
    return make_config(study__kind=kind, study__rows=rows)

  workdirs.note_config(tmp_path, make('ablation', ('a:',)))
  workdirs.check_config(tmp_path, make('ablation', ('a:', 'b:')))
  workdirs.note_config(tmp_path, make('nested', ('a:',)))
  with pytest.raises(errors.UserError, match='study.rows'):
    workdirs.check_config(tmp_path, make('nested', ('a:', 'b:')))


def test_files_that_cannot_be_read_are_named(tmp_path):
  (tmp_path / 'damaged.json').write_text('{"a": ')
  (tmp_path / 'folder.json').mkdir()
  for name in ('damaged', 'folder', 'missing'):
    with pytest.raises(errors.UserError, match=f'{name}.json cannot be read'):
      workdirs.read_json(tmp_path / f'{name}.json')
