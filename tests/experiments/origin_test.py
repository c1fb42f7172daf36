"""A finished result is never shown as one of other data."""

import dataclasses
import os
import shutil
import types

import pytest

from dianet_jax.core import errors, files
from dianet_jax.data import raw_files
from dianet_jax.experiments import origin


@pytest.fixture
def raw(tmp_path):
  folder = tmp_path / 'raw data'
  (folder / 'sub01').mkdir(parents=True)
  (folder / 'sub01' / '1.jpg').write_text('one')
  (folder / 'sheet.xlsx').write_text('labels')
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'elsewhere' / '1.jpg').write_text('two')
  (folder / 'linked').symlink_to(tmp_path / 'elsewhere')
  return folder


@pytest.fixture
def config(make_config, raw):
  return make_config(data__dataset='casme2', data__manual_dir=str(raw))


def dataset(config, fingerprint='ab'):
  return types.SimpleNamespace(
    fingerprint=fingerprint,
    simulated=False,
    clips=[0, 0],
    subjects=['x', 'y'],
    listing=raw_files.listing(config.data),
  )


@pytest.fixture
def compare(config, tmp_path):
  """Compares with what is read now, and says whether anything was read."""
  path = tmp_path / origin.FILE
  files.write_json(path, origin.of(config, dataset(config)))

  def compared(now='ab', config=config):
    calls = []

    def read(wanted):
      calls.append(wanted)
      if not now:
        raise errors.UserError('2 of 9 clips cannot be used.')
      return dataset(config, now)

    message = origin.compare(tmp_path, config, files.read_json(path), read)
    return message, len(calls)

  return compared


def test_unchanged_data_are_not_read(compare):
  message, reads = compare()
  assert 'are unchanged' in message and not reads


def test_touched_data_are_compared_once_by_content(compare, raw):
  os.utime(raw / 'sub01' / '1.jpg', (1, 1))
  assert [compare()[1], compare()[1]] == [1, 0]


@pytest.mark.parametrize('change', ['content', 'more', 'less', 'name', 'link'])
def test_changed_data_are_an_error(compare, raw, change):
  file = raw / 'sub01' / '1.jpg'
  if change == 'content':
    file.write_text('two')
  elif change == 'more':
    (raw / 'sub02').mkdir()
    (raw / 'sub02' / '1.jpg').write_text('one')
  elif change == 'less':
    file.unlink()
  elif change == 'name':
    file.rename(raw / 'sub01' / '2.jpg')
  else:
    # What lies behind a link counts.
    (raw.parent / 'elsewhere' / '1.jpg').write_text('changed')
  with pytest.raises(errors.UserError, match='raw data have changed') as error:
    compare('cd')
  assert 'fingerprint cd' in str(error.value)
  assert 'casme2' in str(error.value) and '2 clips of 2' in str(error.value)
  assert 'another --workdir' in str(error.value)


def test_data_that_cannot_be_read_any_more(compare, raw):
  (raw / 'sheet.xlsx').write_text('x')
  with pytest.raises(errors.UserError, match='2 of 9 clips.*\n.*of other data'):
    compare('')


def test_missing_or_unspecified_data_are_reported(compare, config, raw):
  def at(folder):
    data = dataclasses.replace(config.data, manual_dir=folder)
    return dataclasses.replace(config, data=data)

  assert 'manual_dir is not set' in compare(config=at(''))[0]
  moved = raw.with_name('moved')
  raw.rename(moved)
  message, reads = compare()
  assert f'{raw} does not exist' in message and not reads
  assert 'are unchanged' in compare(config=at(str(moved)))[0]


def test_a_loop_of_links_ends(raw, config):
  before = raw_files.listing(config.data)
  (raw / 'sub01' / 'back').symlink_to(raw)
  assert raw_files.listing(config.data) == raw_files.listing(config.data)
  (raw / 'sub01' / 'broken').symlink_to(raw / 'nowhere')
  assert raw_files.listing(config.data) != before


def test_notes_of_older_versions(compare):
  saved = {'fingerprint': 'ab', 'simulated': True}
  assert origin.sentence(saved) == 'simulated, fingerprint ab'
