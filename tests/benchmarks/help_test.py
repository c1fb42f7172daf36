"""Every benchmark can be imported, and says what it measures."""

import importlib
import pathlib
import sys

import pytest

import benchmarks

FOLDER = pathlib.Path(*benchmarks.__path__)
MODULES = {
  '.'.join(path.relative_to(FOLDER.parent).with_suffix('').parts): path
  for path in sorted(FOLDER.rglob('[!_]*.py'))
}
PROGRAMS = {
  name
  for name, path in MODULES.items()
  if "if __name__ == '__main__'" in path.read_text()
}


def test_programs_are_found():
  assert {'benchmarks.svm', 'benchmarks.estimates.tpu_compile'} < PROGRAMS


@pytest.mark.parametrize('name', MODULES)
def test_every_module_can_be_imported_and_every_program_has_help(
  monkeypatch, capsys, name
):
  if name.startswith('benchmarks.peers.') and name.endswith('_torch'):
    pytest.importorskip('torch')
  module = importlib.import_module(name)
  assert module.__doc__
  if name in PROGRAMS:
    monkeypatch.setattr(sys, 'argv', [name, '--help'])
    with pytest.raises(SystemExit) as stopped:
      module.main()
    assert not stopped.value.code
    printed = capsys.readouterr().out
    assert printed.startswith('usage: ')
    assert module.__doc__.splitlines()[0] in printed
