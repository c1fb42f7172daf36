"""Lists and removes entries of the cache folder.

dianet cache                                        lists them
dianet cache --prune inputs --older-than 30         removes and lists some
"""

import argparse
from collections.abc import Iterator, Sequence
import dataclasses
import json
import pathlib
import shutil
import time

from dianet_jax.core import errors, progress, runtime
from dianet_jax.data import input_cache

# Folder in the cache -> its content, and the depth of its entries.
KINDS = {
  'records': ('prepared records', 2),
  input_cache.FOLDER: ('inputs computed from them, such as optical flow', 1),
  'simulated': ('simulated raw data', 1),
  'compiled': ('compiled programs', 0),
}
_DAY = 24 * 3600


@dataclasses.dataclass(frozen=True)
class Entry:
  """A folder that is computed again if it is missing.

  Attributes:
    name: path in the cache, such as 'inputs/phase_flow-0123456789ab'.
    path: of the folder.
    size: bytes.
    files: number of files.
    used: time of the last write or, for inputs, of the last read; seconds since
      1970.
  """

  name: str
  path: pathlib.Path
  size: int
  files: int
  used: float

  @property
  def days(self) -> float:
    """Days since the last use."""
    return max(time.time() - self.used, 0) / _DAY


def entries(cache: pathlib.Path) -> Iterator[Entry]:
  """Finds the entries of a cache folder.

  Args:
    cache: the folder.

  Yields:
    Entries by kind in the order of `KINDS`, within each the largest first.
  """
  for kind, (_, depth) in KINDS.items():
    folders = [cache / kind]
    for _ in range(depth):
      folders = [
        child
        for folder in folders
        if folder.is_dir()
        for child in folder.iterdir()
      ]
    found = [_entry(cache, f) for f in folders if f.is_dir()]
    yield from sorted(found, key=lambda entry: -entry.size)


def _entry(cache, folder):
  stats = [path.stat() for path in folder.rglob('*') if path.is_file()]
  used = [s.st_mtime for s in stats] + [folder.stat().st_mtime]
  name = str(folder.relative_to(cache))
  size = sum(s.st_size for s in stats)
  return Entry(name, folder, size, len(stats), max(used))


def choose(
  found: Sequence[Entry], names: Sequence[str], older_than: float
) -> list[Entry]:
  """Selects entries by name and age.

  Args:
    found: all entries.
    names: names of entries or of kinds, or 'all'.
    older_than: minimal number of days since the last use.

  Returns:
    The selected entries.

  Raises:
    UserError: a name is unknown.
  """
  wanted = set()
  for name in names:
    matching = [
      e for e in found if name in ('all', e.name, e.name.partition('/')[0])
    ]
    if not matching and name not in ('all', *KINDS):
      raise errors.UserError(
        f'--prune {name}: no such entry. Expected all, one of'
        f' {", ".join(KINDS)}, or a name that `dianet cache` lists.'
      )
    wanted.update(e.name for e in matching)
  return [e for e in found if e.name in wanted and e.days >= older_than]


def remove(chosen: Sequence[Entry]) -> None:
  """Removes entries; each is renamed first, so that none is incomplete.

  Args:
    chosen: the entries.

  Raises:
    UserError: an entry cannot be removed.
  """
  for entry in chosen:
    renamed = entry.path.with_name(f'.{entry.path.name}.removed')
    try:
      entry.path.rename(renamed)
      shutil.rmtree(renamed)
    except OSError as error:
      raise errors.UserError(
        f'{entry.path} cannot be removed: {error}. Check the permissions.'
      ) from error


def describe(entry: Entry) -> str:
  """One line about an entry: size, number of files, age, name, settings."""
  text = (
    f'{entry.size / 1e6:10.1f} MB {entry.files:7d} files'
    f' {entry.days:6.1f} days  {entry.name}'
  )
  about = entry.path / input_cache.ABOUT
  if not about.exists():
    return text
  settings = json.loads(about.read_text(encoding='utf-8'))['settings']
  return (
    f'{text}  (phases {", ".join(settings["phases"])}; image_size'
    f' {settings["image_size"]})'
  )


def main(argv: Sequence[str] | None = None) -> None:
  """The command `dianet cache`.

  Args:
    argv: its arguments; those of the process by default.

  Raises:
    UserError: a name is unknown, or an entry cannot be removed.
  """
  parser = argparse.ArgumentParser(
    prog='dianet cache',
    description='Lists or removes entries of the cache, with their sizes and'
    ' the days since their last use. They are computed again when needed. Do'
    ' not remove entries that a run is using.',
  )
  parser.add_argument(
    '--cache_dir', default='', help='as --config.data.cache_dir of the runs'
  )
  parser.add_argument(
    '--prune',
    nargs='+',
    metavar='NAME',
    default=[],
    help=f'remove: all, {", ".join(KINDS)}, or a name of the list',
  )
  parser.add_argument(
    '--older-than',
    type=float,
    default=0.0,
    metavar='DAYS',
    help='only entries not used for this number of days',
  )
  options = parser.parse_args(argv)
  cache = runtime.cache_dir(options.cache_dir)
  found = list(entries(cache))
  say = progress.console.print
  if options.prune:
    chosen = choose(found, options.prune, options.older_than)
    remove(chosen)
    for entry in chosen:
      say(f'removed {describe(entry)}', markup=False)
    freed = sum(entry.size for entry in chosen)
    say(f'{freed / 1e6:.1f} MB freed in {cache}', markup=False)
    return
  for kind, (what, _) in KINDS.items():
    of_kind = [e for e in found if e.name.partition('/')[0] == kind]
    size = sum(entry.size for entry in of_kind)
    say(f'{kind}: {what}, {size / 1e6:.1f} MB')
    for entry in of_kind:
      say(describe(entry), markup=False)
  total = sum(entry.size for entry in found)
  say(f'{total / 1e6:.1f} MB in {cache}', markup=False)


if __name__ == '__main__':
  main()
