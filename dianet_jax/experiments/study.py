"""Several configurations in one command: `study.rows`, and the ablation.

A row is 'name: key=value key=value', what differs from the configuration that
the rows belong to. In an ablation each row is an ordinary run in a folder of
its own, so it resumes, and finished rows are not computed again.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import datetime
import functools
import pathlib
import re
import time
from typing import Any

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, hosts, progress, runtime
from dianet_jax.data import dataset as data_lib
from dianet_jax.data import folds as folds_lib
from dianet_jax.evaluation import report
from dianet_jax.experiments import run as run_lib
from dianet_jax.experiments import workdirs

# How keys begin that a row cannot set: rows would not be comparable, or what
# is said of the whole study would not hold of each.
_SHARED = {
  'ablation': ('name', 'study.', 'seed', 'evaluation.ensemble'),
  'nested': ('name', 'study.', 'seed', 'evaluation.'),
}


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
    return len(self.config.data.phases)


def _value(text: str) -> Any:
  """A Python literal, true or false, or the text itself."""
  if text in ('true', 'false'):
    return text == 'true'
  try:
    return ast.literal_eval(text)
  except (SyntaxError, TypeError, ValueError):
    return text


def _settings(text: str, shared: tuple[str, ...]) -> dict[str, Any]:
  """'key=value key=value' -> key -> value; blanks may follow commas."""
  found, known = {}, configuration.all_keys()
  for setting in re.split(r'\s+(?=[\w.]+=)', text) if text else ():
    key, equals, value = setting.partition('=')
    if not equals:
      raise errors.UserError(f'{setting!r} is not key=value.')
    if key not in known:
      raise errors.UserError(configuration.unknown_key(key))
    if key in found:
      raise errors.UserError(f'{key} is set twice.')
    if key.startswith(shared):
      raise errors.UserError(
        f'{key} is one for all rows. Set it for the study.'
      )
    found[key] = _value(value)
  return found


def _row(config: configuration.Config, text: str) -> Row:
  name, colon, settings = text.partition(':')
  values = configuration.to_dict(config)
  values['name'], settings = name, settings.strip()
  values['study'] |= {'kind': '', 'rows': ()}
  try:
    if not colon or not re.search('[a-z0-9]', name.lower()):
      raise errors.UserError("expected 'name: key=value key=value'.")
    for key, value in _settings(settings, _SHARED[config.study.kind]).items():
      *sections, last = key.split('.')
      functools.reduce(dict.get, sections, values)[last] = value
    row_config = configuration.from_mapping(values)
  except errors.UserError as error:
    raise errors.UserError(f'--config.study.rows, {text!r}: {error}') from error
  lacking = ''
  data = row_config.data
  if data.dataset.endswith('_flow') and 'onset_offset' in data.phases:
    lacking = f'{data.dataset} holds flow of the two phases, not the whole clip'
  return Row(name, settings, row_config, lacking)


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


@dataclasses.dataclass(frozen=True)
class Ready:
  """A row whose data are loaded.

  Attributes:
    row: the row.
    dataset: its clips.
    folds: one a subject and seed.
  """

  row: Row
  dataset: data_lib.Dataset
  folds: folds_lib.Folds


def load_rows(
  found: Sequence[Row],
  load: Callable[..., data_lib.Dataset],
  reference: data_lib.Dataset,
) -> list[Ready]:
  """Loads the data of every row, so that a mistake shows before any training.

  Args:
    found: rows that the data can feed.
    load: `data.load` that keeps what it has loaded: most rows share it.
    reference: what the rows must have the clips of.

  Raises:
    UserError: a row's clips, subjects, classes or labels are others, or no
      folds can be made of them.
  """
  ready = []
  for row in found:
    try:
      dataset = load(row.config.data, row.config.seed)
      _check_alike(dataset, reference)
      folds = run_lib.make_folds(row.config, dataset)
    except errors.UserError as error:
      raise errors.UserError(
        f'--config.study.rows, {row.name!r}: {error}'
      ) from error
    ready.append(Ready(row, dataset, folds))
  return ready


def _check_alike(one: data_lib.Dataset, other: data_lib.Dataset) -> None:
  def held(dataset):
    return {
      'clips': [(clip.dataset, clip.clip_id) for clip in dataset.clips],
      'subjects': dataset.subjects,
      'classes': dataset.classes,
      'labels': dataset.labels.tolist(),
    }

  ours, theirs = held(one), held(other)
  for what in ours:
    if ours[what] != theirs[what]:
      raise errors.UserError(
        f'its {what} are not those of the other rows, so that they cannot be'
        ' compared. Set data.protocol and the like for the study.'
      )


@dataclasses.dataclass
class Pace:
  """What is left, by the seconds that the work took so far.

  Work is counted in phase images that training looks at.
  """

  seconds: float = 0.0
  work: float = 0.0

  def add(self, seconds: float, work: float) -> None:
    """Notes down what was done."""
    if work:
      self.seconds += seconds
      self.work += work

  def of_all(self, work: float, rest: float) -> Callable[[float], str]:
    """What to say of a whole study, for `resumable.train_folds`.

    Args:
      work: of the trainings that are about to begin.
      rest: of those that follow; at the pace so far, or of the next ones.
    """

    def words(seconds: float) -> str:
      pace = self.seconds / self.work if self.work else seconds / work
      left = datetime.timedelta(seconds=round(seconds + pace * rest))
      return f', and about {left} for all that is left of the study'

    return words


def work(row: Row, folds: folds_lib.Folds, workdir: pathlib.Path) -> float:
  """Of the trainings that `workdir` does not hold, in the unit of `Pace`."""
  images = float(folds.train_valid.sum()) * row.phases_read
  missing = max(len(folds) - trainings_on_disk(workdir), 0) / len(folds)
  return images * row.config.train.epochs * missing


def describe(found: Sequence[Row]) -> None:
  """The list of rows, with what each changes and which cannot be fed."""
  for row in found:
    what = f'LEFT OUT: {row.lacking}' if row.lacking else row.settings
    progress.console.print(f'  {row.name:<28} {what}', markup=False)


def trainings_on_disk(workdir: pathlib.Path) -> int:
  """How many trainings a run has finished."""
  found = (workdir / 'checkpoints').glob('seed*/*')
  # What orbax was writing when a run stopped has a longer name.
  return sum('orbax-checkpoint-tmp' not in path.name for path in found)


def run(config: configuration.Config, workdir: pathlib.Path) -> dict[str, Any]:
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
  found = rows(config)
  fed = [row for row in found if not row.lacking]
  with workdirs.exclusive(workdir):
    workdirs.check_config(workdir, config)
    progress.console.print(
      f'{config.name}: {len(fed)} of {len(found)} rows can be run.'
    )
    describe(found)
    load = functools.lru_cache(maxsize=None)(data_lib.load)
    first = load(fed[0].config.data, config.seed)
    ready = load_rows(fed, load, first)
    for one in ready:
      workdirs.check_config(workdir / one.row.folder, one.row.config)
      workdirs.check_data(workdir / one.row.folder, one.dataset)
    workdirs.note_config(workdir, config)
    summaries = _run_rows(ready, workdir, load)
    held = {
      'config': configuration.to_dict(config),
      'versions': workdirs.versions(),
      'rows': [_held(row, summaries.get(row.name)) for row in found],
    }
    if hosts.is_main():
      report.write_json(workdir / 'ablation.json', held)
      _print_table(config, found, workdir)
  return held


def _run_rows(
  ready: Sequence[Ready],
  workdir: pathlib.Path,
  load: Callable[..., data_lib.Dataset],
) -> dict[str, dict[str, Any]]:
  """Row name -> what its `metrics.json` holds."""
  pace, summaries = Pace(), {}
  left = [
    0.0
    if (workdir / one.row.folder / 'metrics.json').exists()
    else work(one.row, one.folds, workdir / one.row.folder)
    for one in ready
  ]
  for number, one in enumerate(ready):
    row = one.row
    progress.console.print(
      f'\nRow {number + 1} of {len(ready)}: {row.name}', markup=False
    )
    start = time.perf_counter()
    summaries[row.name] = run_lib.run(
      row.config,
      workdir / row.folder,
      load,
      pace.of_all(left[number], sum(left[number + 1 :])),
    )
    pace.add(time.perf_counter() - start, left[number])
  return summaries


def _held(row: Row, summary: Mapping[str, Any] | None) -> dict[str, Any]:
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
  """The table of all rows, in `ablation.md` and on the screen."""
  # It brings SciPy, which a plain run does not need.
  from dianet_jax.evaluation import compare

  runs = {
    row.name: compare.load(workdir / row.folder)
    for row in found
    if not row.lacking
  }
  left_out = [f'{r.name}: left out, {r.lacking}' for r in found if r.lacking]
  text, markdown = (
    compare.table(runs, format_, by_dataset=True)
    for format_ in ('text', 'markdown')
  )
  notes = ''.join(f'- {line}\n' for line in left_out)
  (workdir / 'ablation.md').write_text(
    f'# {config.name}\n\n{markdown}\n{notes}', encoding='utf-8'
  )
  print('\n'.join(['', text, *left_out]))
