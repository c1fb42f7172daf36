"""How much of a cached folder is read to check that it is complete."""

import shutil

import pytest

from tfds_builders import manifest


@pytest.fixture
def folder(tmp_path):
  """Files of 10, 20 and 30 bytes, listed."""
  folder = tmp_path / 'folder'
  (folder / 'below').mkdir(parents=True)
  for size in (10, 20, 30):
    (folder / 'below' / f'{size}.bin').write_bytes(bytes(size))
  manifest.write(folder)
  return folder


@pytest.fixture
def read(monkeypatch):
  """Names of the files that are read."""
  names, checksum = [], manifest._checksum

  def note(path):
    names.append(path.name)
    return checksum(path)

  monkeypatch.setattr(manifest, '_checksum', note)
  return names


@pytest.mark.parametrize(
  ('limit', 'names'),
  [(60, ['10.bin', '20.bin', '30.bin']), (59, ['10.bin', '20.bin']), (9, [])],
)
def test_the_smallest_files_are_always_read(
  folder, read, monkeypatch, limit, names
):
  monkeypatch.setattr(manifest, '_READ_BYTES', limit)
  assert manifest.damage(folder) == ''
  assert read == names
  read.clear()
  assert manifest.damage(folder, thorough=True) == ''
  assert len(read) == 3


def test_a_copy_is_read_once(folder, read, monkeypatch, tmp_path):
  monkeypatch.setattr(manifest, '_READ_BYTES', 0)
  copy = shutil.copytree(folder, tmp_path / 'copy')
  assert manifest.damage(copy) == ''
  assert len(read) == 3
  assert manifest.damage(copy) == ''
  assert len(read) == 3
  # For whoever may read the folder.
  assert (copy / manifest.NAME).stat().st_mode & 0o444 == 0o444
  assert sorted(path.name for path in copy.iterdir()) == [
    manifest.NAME,
    'below',
  ]


def test_the_first_difference_is_named(folder):
  (folder / 'below' / '20.bin').write_bytes(b'x' * 20)
  assert manifest.damage(folder) == 'below/20.bin has different content'
  (folder / 'below' / '10.bin').unlink()
  assert manifest.damage(folder) == 'below/10.bin: No such file or directory'
  (folder / manifest.NAME).write_text('{}')
  assert manifest.damage(folder) == 'MANIFEST.json is not as it was written'
  shutil.rmtree(folder)
  assert manifest.damage(folder) == 'MANIFEST.json: No such file or directory'


def test_files_left_out_of_the_manifest_may_change(folder):
  manifest.write(folder, leave_out=('notes',))
  (folder / 'notes').write_text('mine')
  manifest.write(folder, leave_out=('notes',))
  (folder / 'notes').write_text('changed')
  assert manifest.damage(folder, thorough=True) == ''


def test_setting_a_missing_folder_aside_does_nothing(tmp_path, capsys):
  manifest.set_aside(tmp_path / 'nothing', 'missing', 'Look.')
  assert not list(tmp_path.iterdir())
  assert capsys.readouterr().out == ''
