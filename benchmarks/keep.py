"""Copies the finished rows of a study: results and configurations, no weights.

python -m benchmarks.keep runs/zoo-megc2019-... benchmarks/results/zoo-megc2019

It copies `predictions.csv`, `metrics.json` and `config.json` of every row, with
DIR instead of folders of this machine, and makes `ablation.json` and the tables
anew. A study that still runs can be copied as far as it is.
"""

import argparse
import json
import pathlib
import sys
from typing import Any

from dianet_jax.core import entry, errors, files
from dianet_jax.experiments import ablation

_PLACES = ('manual_dir', 'cache_dir')


def _without_places(held: Any) -> Any:
  if isinstance(held, dict):
    return {
      key: 'DIR' if key in _PLACES and value else _without_places(value)
      for key, value in held.items()
    }
  return [*map(_without_places, held)] if isinstance(held, list) else held


def board(folder: pathlib.Path) -> dict[str, Any]:
  """The `ablation.json` of a kept leaderboard.

  Raises:
    UserError: the folder has no such file.
  """
  path = folder / 'ablation.json'
  if not path.is_file():
    raise errors.UserError(
      f'{path} does not exist. Expected a folder of `python -m benchmarks.keep`'
      ' or the workdir of a study.'
    )
  return json.loads(path.read_text(encoding='utf-8'))


def rows(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Its rows; errors are those of `board`."""
  return board(folder)['rows']


def keep(workdir: pathlib.Path, folder: pathlib.Path) -> None:
  """Copies the rows that a study has finished.

  Args:
    workdir: the study's.
    folder: the folder to write.

  Raises:
    UserError: `workdir` is not that of a study.
  """
  rows(workdir)

  def copy(name: str) -> Any:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    text = (workdir / name).read_text(encoding='utf-8')
    if target.suffix != '.json':
      target.write_text(text, encoding='utf-8')
      return None
    held = _without_places(json.loads(text))
    files.write_json(target, held)
    return held

  held = copy('ablation.json')
  for row in held['rows']:
    if 'folder' in row:
      for name in ('predictions.csv', 'metrics.json', 'config.json'):
        copy(f'{row["folder"]}/{name}')
  (folder / 'ablation.md').write_text(
    ablation.markdown(folder, held), encoding='utf-8'
  )


def main() -> None:
  """Copies a study."""
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.keep',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('workdir', type=pathlib.Path)
  parser.add_argument('folder', type=pathlib.Path)
  options = parser.parse_args()
  if status := entry.run(lambda: keep(options.workdir, options.folder)):
    sys.exit(status)


if __name__ == '__main__':
  main()
