"""The rows of a study: several configurations, and the data of each.

A row is 'name: key=value key=value', what differs from the configuration that
the rows belong to. A row that names a model or an objective starts from that
one's defaults.
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
from dianet_jax.experiments import configuration, rules, starts

# Prefixes of the keys that a row may not set, because all rows must share them
# to be comparable, or because the study as a whole depends on them.
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
  config: Config
  lacking: str

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
  """'key=value key=value' -> key -> value; blanks may follow commas."""
  found = {}
  for setting in re.split(r'\s+(?=[\w.]+=)', text) if text else ():
    key, equals, value = setting.partition('=')
    if not equals:
      raise errors.UserError(f'{setting!r} is not key=value.')
    if key in found:
      raise errors.UserError(f'{key} is set twice.')
    if key.startswith(shared):
      raise errors.UserError(
        f'{key} is one for all rows. Set it for the study.'
      )
    found[key] = _value(value)
  return found


def _row(config: Config, text: str) -> Row:
  name, colon, settings = text.partition(':')
  values = schema.to_dict(config)
  values['name'], settings = name, settings.strip()
  values['study'] |= {'kind': '', 'rows': ()}
  try:
    if not colon or not name.strip():
      raise errors.UserError("expected 'name: key=value key=value'.")
    if not _folder(name):
      raise errors.UserError(
        f'the name {name!r} has no letter and no digit to call its folder by.'
      )
    differing = _settings(settings, _SHARED[config.study.kind])
    row_config = configuration.from_mapping(
      configuration.changed(values, differing)
    )
  except errors.UserError as error:
    raise errors.UserError(f'--config.study.rows, {text!r}: {error}') from error
  return Row(name, settings, row_config, rules.lacking(row_config))


def parse(config: Config) -> list[Row]:
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


def describe(found: Sequence[Row]) -> None:
  """Prints the rows, with what each changes and which cannot be fed."""
  for row in found:
    what = f'LEFT OUT: {row.lacking}' if row.lacking else row.settings
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
  reference: data_lib.Dataset,
) -> list[Ready]:
  """Loads the data of every row, so that a mistake shows before any training.

  Args:
    found: rows that the data can feed.
    read: `run.read_dataset`, keeping what it has loaded: most rows share it.
    reference: what the rows must have the clips of.

  Raises:
    UserError: a row's clips, subjects, classes or labels are others, or no
      folds can be made of them.
  """
  ready = []
  for row in found:
    try:
      dataset = read(row.config)
      _check_alike(dataset, reference)
      folds = folds_lib.of(row.config, dataset)
      starts.load(row.config, dataset)
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


def places_of(
  workdir: pathlib.Path,
  found: Sequence[Row],
  held: Mapping[str, Any],
) -> dict[str, tuple[pathlib.Path, Config]]:
  """Subject -> the workdir of its folds, and the configuration chosen for it.

  Args:
    workdir: of the study.
    found: its rows.
    held: its `selection.json`.

  Raises:
    UserError: a row that was chosen is none of `found`.
  """
  known, places = {row.name: row for row in found}, {}
  for group in held['groups']:
    if group['chosen'] not in known:
      raise errors.UserError(
        f'{workdir / "selection.json"}: {group["chosen"]!r} is no row of the'
        ' study. Bring back the file, or choose another --workdir.'
      )
    row = known[group['chosen']]
    place = workdir / 'chosen' / row.folder, row.config
    places |= dict.fromkeys(group['subjects'], place)
  return places
