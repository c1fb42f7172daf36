"""Different spellings of a path are the same path."""

import pathlib

import pytest

from dianet_jax.core import errors, paths


def test_ways_to_write_it(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path))
  for path in ('a', 'a/', './a', 'b/../a', '~/a', tmp_path / 'a'):
    assert paths.normal(path, 'x') == tmp_path / 'a'
  (tmp_path / 'far' / 'c').mkdir(parents=True)
  (tmp_path / 'link').symlink_to(tmp_path / 'far' / 'c')
  # Where the system would go, too.
  assert paths.normal('link/../a', 'x') == tmp_path / 'far' / 'a'
  assert paths.normal('link', 'x') == tmp_path / 'link'


@pytest.mark.parametrize('path', ['~nosuchuser/x', 'a\udce4'])
def test_invalid_paths_are_refused(path):
  with pytest.raises(errors.UserError, match='^--workdir='):
    paths.normal(path, '--workdir')


def test_no_home(monkeypatch):
  def no_home(path):
    raise RuntimeError('Could not determine home directory.')

  monkeypatch.setattr(pathlib.Path, 'expanduser', no_home)
  with pytest.raises(errors.UserError, match='DIANET_CACHE=~/x: ~ has no home'):
    paths.normal('~/x', 'DIANET_CACHE')
