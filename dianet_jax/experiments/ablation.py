"""The ablation: every row of a study as a run, and a table of differences.

Each row is an ordinary run in its own folder, so it can be resumed, and
finished rows are not computed again. The tables are rewritten after every row.
If a row fails, its error is reported, and the other rows continue.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import pathlib
from typing import Any

from dianet_jax.core import (
  errors,
  faults,
  files,
  hosts,
  progress,
  runtime,
  schema,
)
from dianet_jax.core.config import Config
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import metrics, tables
from dianet_jax.experiments import pace as pace_lib
from dianet_jax.experiments import rows as rows_lib
from dianet_jax.experiments import run as run_lib
from dianet_jax.experiments import workdirs


def run(config: Config, workdir: pathlib.Path) -> dict[str, Any]:
  """Runs every row, then writes a leaderboard and the differences.

  Args:
    config: with the rows in its section `study`.
    workdir: gets a folder for each row, `ablation.md` and `ablation.json`.

  Returns:
    The content of `ablation.json`.

  Raises:
    UserError: the configuration or the data are invalid; or a row failed, which
      is raised after the other rows are finished.
  """
  runtime.configure(runtime.cache_dir(config.data.cache_dir))
  hosts.start(config.parallel)
  found = rows_lib.parse(config)
  fed = [row for row in found if not row.unsupported]
  chosen = rows_lib.to_train(config, fed)
  with workdirs.exclusive(workdir):
    workdirs.check_config(workdir, config)
    progress.console.print(
      f'{config.name}: {len(fed)} of {len(found)} rows can be run'
      + (f', {len(chosen)} to be trained now.' if config.study.only else '.')
    )
    rows_lib.describe(found)
    load = functools.lru_cache(maxsize=None)(data_lib.load)
    read = functools.partial(run_lib.read_dataset, load=load)
    # Of the others, what has a result is shown, though with fewer seeds.
    shown = [
      row
      for row in fed
      if row in chosen or (workdir / row.folder / 'metrics.json').exists()
    ]
    ready, lacking = rows_lib.load_rows(shown, read)
    found = rows_lib.with_reasons(found, lacking)
    for one in ready:
      workdirs.check_config(workdir / one.row.folder, one.row.config)
      workdirs.check_data(workdir / one.row.folder, one.row.config, one.dataset)
    workdirs.note_config(workdir, config)
    study = _Study(config, workdir, found)
    study.show_others([one.row for one in ready if one.row not in chosen])
    study.run([one for one in ready if one.row in chosen], load)
    study.show()
  if study.failed:
    raise errors.UserError(
      f'{len(study.failed)} of {len(fed)} rows failed: '
      + '; '.join(f'{name}: {why}' for name, why in study.failed.items())
    )
  return study.summary()


class _Study:
  """The rows of a study, with their progress and results."""

  def __init__(
    self, config: Config, workdir: pathlib.Path, found: Sequence[rows_lib.Row]
  ):
    self._config, self._workdir, self._found = config, workdir, found
    self._summaries: dict[str, dict[str, Any]] = {}
    self.failed: dict[str, str] = {}

  def show_others(self, rows: Sequence[rows_lib.Row]) -> None:
    """Takes the results of rows that are not trained now."""
    for row in rows:
      summary = hosts.of_main(workdirs.load_summary(self._workdir / row.folder))
      if summary:
        progress.console.print(
          f'This run is finished: {self._workdir / row.folder}'
        )
        self._summaries[row.name] = summary

  def run(
    self, ready: Sequence[rows_lib.Ready], load: Callable[..., data_lib.Dataset]
  ) -> None:
    """Trains missing rows; writes all results after every row."""
    pace = pace_lib.Pace()
    left = [_work_left(one, self._workdir / one.row.folder) for one in ready]
    for number, (one, work) in enumerate(zip(ready, left)):
      row = one.row
      progress.console.print(f'\nRow {number + 1} of {len(ready)}: {row.name}')
      remark = functools.partial(
        pace.remark, work=work, rest=sum(left[number + 1 :])
      )
      try:
        with pace.timed(work):
          self._summaries[row.name] = run_lib.run(
            row.config, self._workdir / row.folder, load, remark
          )
      except Exception as error:  # Any error of a library ends only this row.
        why = str(error)
        if not isinstance(error, errors.UserError):
          why = f'{faults.one_line(error)}; {faults.report(error)}'
        self.failed[row.name] = why
        progress.console.print(f'{row.name} FAILED: {why}')
      if work:
        self._write()

  def summary(self) -> dict[str, Any]:
    """The content of `ablation.json`."""
    return {
      'config': schema.to_dict(self._config),
      'versions': workdirs.versions(),
      'rows': [self._row(row) for row in self._found],
    }

  def _row(self, row: rows_lib.Row) -> dict[str, Any]:
    recorded = {'name': row.name, 'settings': row.settings}
    if row.unsupported:
      return recorded | {'left_out': row.unsupported}
    if row.name in self.failed:
      return recorded | {'failed': self.failed[row.name]}
    if row.name not in self._summaries:
      return recorded | {'missing': 'not trained yet'}
    summary = self._summaries[row.name]
    means = {
      name: summary['overall'][name]['mean']
      for name in metrics.METRICS
      if name in summary['overall']
    }
    return recorded | {'folder': row.folder} | means

  def _write(self) -> None:
    if hosts.is_main():
      recorded = self.summary()
      files.write_json(self._workdir / 'ablation.json', recorded)
      (self._workdir / 'ablation.md').write_text(
        markdown(self._workdir, recorded), encoding='utf-8'
      )

  def show(self) -> None:
    """Writes and prints the tables of all rows."""
    self._write()
    if hosts.is_main():
      print(text(self._workdir, self.summary()))


def _work_left(one: rows_lib.Ready, workdir: pathlib.Path) -> float:
  if workdirs.is_finished(workdir, one.row.config):
    return 0.0
  return pace_lib.work(one.row.config, one.dataset, one.folds, workdir)


def text(workdir: pathlib.Path, recorded: Mapping[str, Any]) -> str:
  """The tables of a study as text, the leaderboard last."""
  notes = [f'{name}: {why}' for name, why in _absent(recorded)]
  shown = reversed(_tables(workdir, recorded, 'text'))
  return '\n\n'.join(['', *shown, '\n'.join(notes)])


def markdown(workdir: pathlib.Path, recorded: Mapping[str, Any]) -> str:
  """The content of `ablation.md`.

  Args:
    workdir: of the study, with a folder for each finished row.
    recorded: its `ablation.json`.
  """
  title = f'# {tables.escape_markdown(recorded["config"]["name"])}'
  notes = ''.join(
    f'- {tables.escape_markdown(name)}: {tables.escape_markdown(why)}\n'
    for name, why in _absent(recorded)
  )
  return '\n\n'.join([title, *_tables(workdir, recorded, 'markdown'), notes])


def _absent(recorded: Mapping[str, Any]) -> list[tuple[str, str]]:
  """Rows without a result, and why."""
  words = {'left_out': 'left out, ', 'failed': 'failed, ', 'missing': ''}
  return [
    (row['name'], words[key] + row[key])
    for row in recorded['rows']
    for key in words
    if key in row
  ]


def _tables(
  workdir: pathlib.Path, recorded: Mapping[str, Any], format_: str
) -> list[str]:
  # Imported late: they import SciPy, which a single run does not need.
  from dianet_jax.evaluation import compare, leaderboard

  folders = {
    row['name']: workdir / row['folder']
    for row in recorded['rows']
    if 'folder' in row
  }
  if not folders:
    return []
  runs = {name: compare.load(folder) for name, folder in folders.items()}
  shown = [compare.table(runs, format_, by_dataset=True)]
  summaries = {
    name: workdirs.load_summary(folder) or {}
    for name, folder in folders.items()
  }
  # Older versions did not record the numbers of parameters.
  if all('parameters' in summary for summary in summaries.values()):
    entries = {
      name: leaderboard.Entry(
        summary['parameters'], summary['seconds_a_training']
      )
      for name, summary in summaries.items()
    }
    shown.insert(0, leaderboard.table(runs, entries, format_))
  return shown
