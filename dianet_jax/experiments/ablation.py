"""The ablation: every row of a study as a run, and a table of differences.

Each row is an ordinary run in a folder of its own, so it resumes, and finished
rows are not computed again.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import pathlib
from typing import Any

from dianet_jax.core import files, hosts, progress, runtime, schema
from dianet_jax.core.config import Config
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import metrics, tables
from dianet_jax.experiments import pace as pace_lib
from dianet_jax.experiments import rows as rows_lib
from dianet_jax.experiments import run as run_lib
from dianet_jax.experiments import workdirs


def run(config: Config, workdir: pathlib.Path) -> dict[str, Any]:
  """The ablation: every row, then one table of differences from the first.

  Args:
    config: with the rows in its section `study`.
    workdir: a folder a row, `ablation.md` and `ablation.json`.

  Returns:
    What `ablation.json` holds.

  Raises:
    UserError: anything that the user can mend.
  """
  runtime.configure(runtime.cache_dir(config.data.cache_dir))
  hosts.start(config.parallel)
  found = rows_lib.parse(config)
  fed = [row for row in found if not row.lacking]
  with workdirs.exclusive(workdir):
    workdirs.check_config(workdir, config)
    progress.console.print(
      f'{config.name}: {len(fed)} of {len(found)} rows can be run.'
    )
    rows_lib.describe(found)
    load = functools.lru_cache(maxsize=None)(data_lib.load)
    read = functools.partial(run_lib.read_dataset, load=load)
    ready = rows_lib.load_rows(fed, read, read(fed[0].config))
    for one in ready:
      workdirs.check_config(workdir / one.row.folder, one.row.config)
      workdirs.check_data(workdir / one.row.folder, one.dataset)
    workdirs.note_config(workdir, config)
    summaries = _run_rows(ready, workdir, load)
    held = {
      'config': schema.to_dict(config),
      'versions': workdirs.versions(),
      'rows': [_held(row, summaries.get(row.name)) for row in found],
    }
    if hosts.is_main():
      files.write_json(workdir / 'ablation.json', held)
      _print_table(config, found, workdir)
  return held


def _run_rows(
  ready: Sequence[rows_lib.Ready],
  workdir: pathlib.Path,
  load: Callable[..., data_lib.Dataset],
) -> dict[str, dict[str, Any]]:
  """Row name -> what its `metrics.json` holds."""
  pace, summaries = pace_lib.Pace(), {}
  left = [_work_left(one, workdir / one.row.folder) for one in ready]
  for number, (one, work) in enumerate(zip(ready, left)):
    row = one.row
    progress.console.print(f'\nRow {number + 1} of {len(ready)}: {row.name}')
    remark = functools.partial(
      pace.remark, work=work, rest=sum(left[number + 1 :])
    )
    with pace.timed(work):
      summaries[row.name] = run_lib.run(
        row.config, workdir / row.folder, load, remark
      )
  return summaries


def _work_left(one: rows_lib.Ready, workdir: pathlib.Path) -> float:
  if (workdir / 'metrics.json').exists():
    return 0.0
  return pace_lib.work(one.row.config, one.dataset, one.folds, workdir)


def _held(
  row: rows_lib.Row, summary: Mapping[str, Any] | None
) -> dict[str, Any]:
  held = {'name': row.name, 'settings': row.settings}
  if summary is None:
    return held | {'left_out': row.lacking}
  means = {
    name: summary['overall'][name]['mean']
    for name in metrics.METRICS
    if name in summary['overall']
  }
  return held | {'folder': row.folder} | means


def _print_table(
  config: Config, found: Sequence[rows_lib.Row], workdir: pathlib.Path
) -> None:
  """The table of all rows, in `ablation.md` and on the screen."""
  # It brings SciPy, which a plain run does not need.
  from dianet_jax.evaluation import compare

  runs = {
    row.name: compare.load(workdir / row.folder)
    for row in found
    if not row.lacking
  }
  left_out = {
    row.name: f': left out, {row.lacking}' for row in found if row.lacking
  }
  text, markdown = (
    compare.table(runs, format_, by_dataset=True)
    for format_ in ('text', 'markdown')
  )
  notes = ''.join(
    f'- {tables.escape_markdown(name)}{why}\n' for name, why in left_out.items()
  )
  (workdir / 'ablation.md').write_text(
    f'# {tables.escape_markdown(config.name)}\n\n{markdown}\n{notes}',
    encoding='utf-8',
  )
  print('\n'.join(['', text, *map(''.join, left_out.items())]))
