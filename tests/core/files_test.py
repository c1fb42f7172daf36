"""JSON files of a workdir."""

import pytest

from dianet_jax.core import errors, files


def test_json_files_are_read_as_written(tmp_path):
  path = tmp_path / 'a.json'
  assert files.read_if_there(path) is None
  files.write_json(path, {'a': [1]})
  assert files.read_json(path) == files.read_if_there(path) == {'a': [1]}
  assert [*tmp_path.iterdir()] == [path]


def test_files_that_cannot_be_read_are_named(tmp_path):
  (tmp_path / 'damaged.json').write_text('{"a": ')
  (tmp_path / 'deep.json').write_text('[' * 10**5)
  (tmp_path / 'folder.json').mkdir()
  for name in ('damaged', 'deep', 'folder', 'missing'):
    with pytest.raises(errors.UserError, match=f'{name}.json cannot be read'):
      files.read_json(tmp_path / f'{name}.json')
