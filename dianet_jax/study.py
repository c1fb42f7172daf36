"""Several configurations in one command: `study.rows`, and the ablation.

A row is 'name: key=value key=value', what differs from the configuration that
the rows belong to. In an ablation each row is an ordinary run in a folder of
its own, so it resumes, and finished rows are not computed again.
"""

import ast
from collections.abc import Sequence
import contextlib
import dataclasses
import datetime
import functools
import io
import pathlib
import re
import time
from typing import Any

from dianet_jax import config as configuration
from dianet_jax import data as data_lib
from dianet_jax import errors, platform, progress, report
from dianet_jax import run as run_lib
from dianet_jax.models import fusion


@dataclasses.dataclass(frozen=True)
class Row:
  """One configuration of a study.

  Attributes:
    name: as it is printed.
    settings: what differs, as text.
    config: an ordinary configuration, without a study.
    lacking: why the data cannot feed it; '' where they can.
  """

  name: str
  settings: str
  config: configuration.Config
  lacking: str

  @property
  def folder(self) -> str:
    """Its name as a folder's."""
    return re.sub(r'[^a-z0-9]+', '-', self.name.lower()).strip('-')

  @property
  def phases_read(self) -> int:
    """How many phase images of a clip go through a backbone."""
    phases = self.config.data.phases
    return len(fusion.SELECTED.get(self.config.model.fusion, phases))


def _value(text: str) -> Any:
  """A Python literal, true or false, or the text itself."""
  if text in ('true', 'false'):
    return text == 'true'
  try:
    return ast.literal_eval(text)
  except (SyntaxError, ValueError):
    return text


def _row(config: configuration.Config, text: str) -> Row:
  name, colon, settings = text.partition(':')
  values = configuration.to_dict(config)
  values['name'] = name
  values['study'] |= {'kind': '', 'rows': ()}
  try:
    if not colon or not re.search('[a-z0-9]', name.lower()):
      raise errors.UserError("expected 'name: key=value key=value'.")
    for setting in settings.split():
      key, _, value = setting.partition('=')
      *sections, last = key.split('.')
      place = values
      for section in sections:
        place = place.get(section) if isinstance(place, dict) else None
      if not isinstance(place, dict) or last not in place:
        raise errors.UserError(configuration.unknown_key(key))
      place[last] = _value(value)
    row_config = configuration.from_mapping(values)
  except errors.UserError as error:
    raise errors.UserError(f'--config.study.rows, {text!r}: {error}') from error
  lacking = ''
  data = row_config.data
  if data.dataset.endswith('_flow') and 'onset_offset' in data.phases:
    lacking = f'{data.dataset} holds flow of the two phases, not the whole clip'
  return Row(name, settings.strip(), row_config, lacking)


def rows(config: configuration.Config) -> list[Row]:
  """The rows of a study, in order.

  Raises:
    UserError: a row that cannot be read, has a wrong key or value, or the
      folder of another; or none that the data can feed.
  """
  found = [_row(config, text) for text in config.study.rows]
  folders = [row.folder for row in found]
  for row in found:
    if folders.count(row.folder) > 1:
      raise errors.UserError(
        f'--config.study.rows: two rows are called {row.name!r}, or nearly.'
      )
  if all(row.lacking for row in found):
    raise errors.UserError(
      f'--config.study.rows: {config.data.dataset} can feed none of them.'
    )
  return found


@dataclasses.dataclass
class Pace:
  """What is left, by the seconds that the work took so far.

  Work is counted in phase images that training looks at, an epoch.
  """

  seconds: float = 0.0
  work: float = 0.0

  def add(self, seconds: float, work: float) -> None:
    """Notes down what was done."""
    if work:
      self.seconds += seconds
      self.work += work

  def left(self, work: float) -> str:
    """The time that `work` will take, in words."""
    if not self.work:
      return 'the time left is known after the first'
    left = datetime.timedelta(seconds=round(self.seconds / self.work * work))
    return f'about {left} left for all'


def describe(found: Sequence[Row]) -> None:
  """The list of rows, with what each changes and which cannot be fed."""
  for row in found:
    what = f'LEFT OUT: {row.lacking}' if row.lacking else row.settings
    progress.console.print(f'  {row.name:<28} {what}', markup=False)


def trainings_on_disk(workdir: pathlib.Path) -> int:
  """How many trainings a run has finished."""
  return len(list((workdir / 'checkpoints').glob('seed*/*')))


def run(config: configuration.Config, workdir: pathlib.Path) -> dict[str, Any]:
  """The ablation: every row, then one table of differences from the first.

  Args:
    config: with the rows in its section `study`.
    workdir: a folder a row, `ablation.md` and `study.json`.

  Returns:
    What `study.json` holds.

  Raises:
    UserError: anything that the user can mend.
  """
  platform.configure(platform.cache_dir(config.data.cache_dir))
  found = rows(config)
  ready = [row for row in found if not row.lacking]
  say = progress.console.print
  with run_lib.exclusive(workdir):
    say(f'{config.name}: {len(ready)} of {len(found)} rows can be run.')
    describe(found)
    summaries = _run_rows(ready, workdir)
    held = {
      'config': configuration.to_dict(config),
      'versions': run_lib.versions(),
      'rows': [_held(row, summaries.get(row.name)) for row in found],
    }
    report.write_json(workdir / 'study.json', held)
    _print_table(config, found, workdir)
  return held


def _run_rows(
  ready: Sequence[Row], workdir: pathlib.Path
) -> dict[str, dict[str, Any]]:
  """Row name -> what its `metrics.json` holds."""
  # Rows that share data settings share the images.
  load = functools.lru_cache(maxsize=2)(data_lib.load)
  pace, summaries, work = Pace(), {}, {}
  for number, row in enumerate(ready):
    place = workdir / row.folder
    if not (place / 'metrics.json').exists() and not work:
      subjects = load(row.config.data, row.config.seed).subjects
      for other in ready:
        trainings = len(set(subjects)) * len(other.config.training_seeds)
        missing = trainings - trainings_on_disk(workdir / other.folder)
        epochs = other.config.train.epochs
        work[other.name] = missing * other.phases_read * epochs
    left = sum(work.get(other.name, 0) for other in ready[number:])
    progress.console.print(
      f'\nRow {number + 1} of {len(ready)}: {row.name}'
      + (f' ({pace.left(left)})' if left else '')
    )
    start = time.perf_counter()
    summaries[row.name] = run_lib.run(row.config, place, load)
    pace.add(time.perf_counter() - start, work.get(row.name, 0))
  return summaries


def _held(row: Row, summary: dict[str, Any] | None) -> dict[str, Any]:
  held = {'name': row.name, 'settings': row.settings}
  if summary is None:
    return held | {'left_out': row.lacking}
  metrics = {
    key: summary['overall'][key]['mean'] for key in ('accuracy', 'uf1', 'uar')
  }
  return held | {'folder': row.folder} | metrics


def _print_table(
  config: configuration.Config, found: Sequence[Row], workdir: pathlib.Path
) -> None:
  """The table of all rows, on the screen and in `ablation.md`."""
  # It brings SciPy, which a plain run does not need.
  from dianet_jax import compare

  paths = {row.name: workdir / row.folder for row in found if not row.lacking}
  left_out = [f'{r.name}: left out, {r.lacking}' for r in found if r.lacking]
  print()
  compare.print_tables(paths, format='text')
  print('\n'.join(left_out))
  markdown = io.StringIO()
  with contextlib.redirect_stdout(markdown):
    compare.print_tables(paths, format='markdown')
  notes = ''.join(f'- {line}\n' for line in left_out)
  (workdir / 'ablation.md').write_text(
    f'# {config.name}\n\n{markdown.getvalue()}\n{notes}', encoding='utf-8'
  )
