"""The data of a result: identifies them, and checks that they are unchanged.

The fingerprint of the records identifies them. As computing it takes minutes,
names, sizes and times of all raw files are compared first; if they are equal,
the content is assumed to be equal.
"""

from collections.abc import Callable
import contextlib
import datetime
import pathlib
from typing import Any

from dianet_jax.core import errors, files, progress
from dianet_jax.core.config import Config
from dianet_jax.data import dataset as data_lib
from dianet_jax.data import raw_files
from dianet_jax.experiments import initial_weights

FILE = 'data.json'


def of(config: Config, dataset: data_lib.Dataset) -> dict[str, Any]:
  """The content of `data.json` for a run and its clips."""
  data = config.data
  return {
    'fingerprint': dataset.fingerprint,
    'simulated': dataset.simulated,
    'dataset': data.dataset,
    'protocol': '' if data.emotions else data.protocol,
    'clips': len(dataset.clips),
    'subjects': len(set(dataset.subjects)),
    'date': datetime.date.today().isoformat(),
    'listing': dataset.listing,
    'pretrained': initial_weights.facts(config, dataset),
  }


def same(recorded: dict[str, Any], dataset: data_lib.Dataset) -> bool:
  """Whether `data.json` describes these data."""
  now = dataset.fingerprint, dataset.simulated
  return (recorded['fingerprint'], recorded['simulated']) == now


def sentence(recorded: dict[str, Any]) -> str:
  """Describes the data of a result; older runs recorded less."""
  parts = [recorded.get('dataset', ''), recorded.get('protocol', '')]
  if recorded.get('simulated') is True:
    parts.insert(0, 'simulated')
  if 'clips' in recorded:
    parts.append(
      f'{recorded["clips"]} clips of {recorded["subjects"]} subjects'
    )
  parts.append(f'fingerprint {recorded["fingerprint"]}')
  if 'date' in recorded:
    parts.append(f'first read on {recorded["date"]}')
  if start := recorded.get('pretrained'):
    parts.append(f'networks started from {start["file"]}')
  return ', '.join(filter(None, parts))


def compare(
  workdir: pathlib.Path,
  config: Config,
  recorded: dict[str, Any],
  read: Callable[[Config], data_lib.Dataset],
) -> str:
  """Compares the data of a finished run with the current raw data.

  Args:
    workdir: of the run.
    config: with the current folder of the raw data.
    recorded: the run's `data.json`.
    read: `run.read_dataset`; called only if the listing differs.

  Returns:
    The result of the comparison, as a sentence.

  Raises:
    UserError: the data have changed, or can no longer be read.
  """
  folder = config.data.manual_dir
  if recorded['simulated'] and config.data.simulation.enabled:
    return 'The data follow from the configuration.'
  if not folder:
    return (
      'Not compared with the raw data: --config.data.manual_dir is not set.'
    )
  listed = raw_files.listing(config.data)
  if not listed:
    return f'Not compared with the raw data: {folder} does not exist.'
  if listed != recorded.get('listing'):
    _compare_content(workdir, config, recorded, read)
    # If it cannot be written, the next comparison takes as long again.
    with contextlib.suppress(OSError):
      files.write_json(workdir / FILE, recorded | {'listing': listed})
  return f'The raw data in {folder} are unchanged.'


def _compare_content(workdir, config, recorded, read) -> None:
  progress.console.print(
    f'Names, sizes or times in {config.data.manual_dir} differ from those that'
    ' the run recorded: comparing the content.'
  )
  advice = (
    f'The result in {workdir} is of other data: {sentence(recorded)}. Choose'
    ' another --workdir to train on the current data, or restore those.'
  )
  try:
    dataset = read(config)
  except errors.UserError as error:
    raise errors.UserError(
      f'The raw data can no longer be read: {error}\n{advice}'
    ) from error
  if not same(recorded, dataset):
    raise errors.UserError(
      'The raw data have changed since the run was made (or this version reads'
      f' them differently): fingerprint {dataset.fingerprint}. {advice}'
    )
