"""The rows of a study: configurations, and the data of each.

A row is 'name: key=value key=value', the differences from the configuration of
the study. A row that sets the model or the objective starts from its defaults.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import pathlib
import re
from typing import Any

from dianet_jax.core import errors, progress, schema
from dianet_jax.core.config import Config
from dianet_jax.data import dataset as data_lib
from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import configuration, initial_weights, rules

# Keys and sections that a row may not set, because all rows must share them to
# be comparable, or because they belong to the complete study. Rows with unequal
# numbers of seeds are compared by the first seeds of each.
_SHARED = {
  'ablation': ('name', 'study', 'seed', 'evaluation.ensemble'),
  'nested': ('name', 'study', 'seed', 'seeds', 'evaluation'),
}


@dataclasses.dataclass(frozen=True)
class Row:
  """One configuration of a study.

  Attributes:
    name: as printed.
    settings: the differences, as text.
    config: an ordinary configuration, without a study.
    unsupported: why the data set does not support it; '' if it does.
  """

  name: str
  settings: str
  config: Config
  unsupported: str

  @property
  def folder(self) -> str:
    """Its name as a folder's."""
    return _folder(self.name)


def _folder(name: str) -> str:
  return re.sub(r'[\W_]+', '-', name.lower()).strip('-')


def _value(text: str) -> Any:
  """A Python literal, true or false, or the text itself."""
  if text in ('true', 'false'):
    return text == 'true'
  try:
    return ast.literal_eval(text)
  except (SyntaxError, TypeError, ValueError):
    return text


def _settings(text: str, shared: tuple[str, ...]) -> dict[str, Any]:
  """Parses 'key=value key=value'; blanks may follow commas."""
  found = {}
  for setting in re.split(r'\s+(?=[\w.]+=)', text) if text else ():
    key, equals, value = setting.partition('=')
    if not equals:
      raise errors.UserError(f'{setting!r}: expected key=value.')
    if key in found:
      raise errors.UserError(f'{key} is set twice.')
    if key in shared or key.partition('.')[0] in shared:
      raise errors.UserError(
        f'{key} must be the same for all rows. Set it for the study.'
      )
    found[key] = _value(value)
  return found


def _row(config: Config, text: str) -> Row:
  name, colon, settings = text.partition(':')
  values = schema.to_dict(config)
  values['name'], settings = name, settings.strip()
  values['study'] |= {'kind': '', 'rows': (), 'only': ()}
  try:
    if not colon or not name.strip():
      raise errors.UserError("expected 'name: key=value key=value'.")
    if not _folder(name):
      raise errors.UserError(
        f'the name {name!r} needs a letter or a digit, for its folder.'
      )
    differing = _settings(settings, _SHARED[config.study.kind])
    row_config = configuration.from_mapping(
      configuration.changed(values, differing)
    )
  except errors.UserError as error:
    raise errors.UserError(f'--config.study.rows, {text!r}: {error}') from error
  return Row(name, settings, row_config, rules.unsupported(row_config))


def parse(config: Config) -> list[Row]:
  """The rows of a study, in order.

  Raises:
    UserError: a row cannot be parsed, has an invalid key or value, or the
      folder of another; or the data set supports none.
  """
  found = [_row(config, text) for text in config.study.rows]
  folders = [row.folder for row in found]
  for row in found:
    if folders.count(row.folder) > 1:
      raise errors.UserError(
        f'--config.study.rows: two rows have the name {row.name!r} or similar'
        ' names with the same folder. Rename one.'
      )
  if all(row.unsupported for row in found):
    raise errors.UserError(
      f'--config.study.rows: {config.data.dataset} supports none of them.'
    )
  return found


def to_train(config: Config, fed: Sequence[Row]) -> list[Row]:
  """The rows that `study.only` names, all if it is empty.

  Args:
    config: of the study.
    fed: the rows that the data set supports.

  Raises:
    UserError: it names no such row.
  """
  only = config.study.only
  for name in only:
    if name not in (row.name for row in fed):
      raise errors.UserError(
        f'--config.study.only: no row that {config.data.dataset} supports has'
        f' the name {name!r}. There are: '
        + '; '.join(row.name for row in fed)
        + '.'
      )
  return [row for row in fed if not only or row.name in only]


def describe(found: Sequence[Row]) -> None:
  """Prints the rows, their differences, and which are not supported."""
  for row in found:
    what = f'LEFT OUT: {row.unsupported}' if row.unsupported else row.settings
    progress.console.print(f'  {row.name:<28} {what}')


@dataclasses.dataclass(frozen=True)
class Ready:
  """A row whose data are loaded.

  Attributes:
    row: the row.
    dataset: its clips.
    folds: one for each subject and seed.
  """

  row: Row
  dataset: data_lib.Dataset
  folds: folds_lib.Folds


def load_rows(
  found: Sequence[Row],
  read: Callable[[Config], data_lib.Dataset],
  reference: data_lib.Dataset | None = None,
) -> tuple[list[Ready], list[Row]]:
  """Loads the data of every row, to report errors before training starts.

  Prints which rows lack their input.

  Args:
    found: rows that the data set supports.
    read: `run.read_dataset` with a cache, because most rows share data.
    reference: data set whose clips the rows must have; None for that of the
      first row.

  Returns:
    The rows with their data; and those whose input the clips lack, with the
    reason as `unsupported`.

  Raises:
    UserError: a row's clips, subjects, classes or labels differ, no folds can
      be made of them, or the clips lack the input of every row.
  """
  ready, lacking = [], []
  for row in found:
    try:
      dataset = read(row.config)
      if reference is None:
        reference = dataset
      _check_alike(dataset, reference)
      folds = folds_lib.of(row.config, dataset)
      initial_weights.load(row.config, dataset)
    except errors.MissingInputError as error:
      lacking.append(dataclasses.replace(row, unsupported=str(error)))
      if len(lacking) == len(found):
        raise
      continue
    except errors.UserError as error:
      raise errors.UserError(
        f'--config.study.rows, {row.name!r}: {error}'
      ) from error
    ready.append(Ready(row, dataset, folds))
  describe(lacking)
  return ready, lacking


def with_reasons(found: Sequence[Row], lacking: Sequence[Row]) -> list[Row]:
  """All rows of a study, with those of `load_rows` that lack an input."""
  changed = {row.name: row for row in lacking}
  return [changed.get(row.name, row) for row in found]


def _check_alike(one: data_lib.Dataset, other: data_lib.Dataset) -> None:
  def recorded(dataset):
    return {
      'clips': [(clip.dataset, clip.clip_id) for clip in dataset.clips],
      'subjects': dataset.subjects,
      'classes': dataset.classes,
      'labels': dataset.labels.tolist(),
    }

  ours, theirs = recorded(one), recorded(other)
  for what in ours:
    if ours[what] != theirs[what]:
      raise errors.UserError(
        f'its {what} differ from those of the other rows, so they cannot be'
        ' compared. Set data.protocol and similar keys for the study.'
      )


def places_of(
  workdir: pathlib.Path,
  found: Sequence[Row],
  selection: Mapping[str, Any],
) -> dict[str, tuple[pathlib.Path, Config]]:
  """Finds the folds of each subject in a finished nested selection.

  Args:
    workdir: of the study.
    found: its rows.
    selection: content of its `selection.json`.

  Returns:
    Subject -> the workdir of its folds, and the configuration chosen for it.

  Raises:
    UserError: a chosen row is not in `found`.
  """
  known, places = {row.name: row for row in found}, {}
  for group in selection['groups']:
    if group['chosen'] not in known:
      raise errors.UserError(
        f'{workdir / "selection.json"}: {group["chosen"]!r} is not a row of'
        ' the study. Restore the file, or choose another --workdir.'
      )
    row = known[group['chosen']]
    place = workdir / 'chosen' / row.folder, row.config
    places |= dict.fromkeys(group['subjects'], place)
  return places
