"""The data behind a result: which they are, whether there and unchanged.

Content decides: the fingerprint of the records. As that takes minutes, names,
sizes and times of all raw files are compared first; where they are the same,
so is the content.
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
from dianet_jax.experiments import starts

FILE = 'data.json'


def of(config: Config, dataset: data_lib.Dataset) -> dict[str, Any]:
  """What `data.json` holds of a run and its clips."""
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
    'pretrained': starts.facts(config, dataset),
  }


def same(held: dict[str, Any], dataset: data_lib.Dataset) -> bool:
  """Whether `data.json` is of these data."""
  now = dataset.fingerprint, dataset.simulated
  return (held['fingerprint'], held['simulated']) == now


def sentence(held: dict[str, Any]) -> str:
  """Names the data of a result; of an older run less is known."""
  parts = [held.get('dataset', ''), held.get('protocol', '')]
  if held.get('simulated') is True:
    parts.insert(0, 'simulated')
  if 'clips' in held:
    parts.append(f'{held["clips"]} clips of {held["subjects"]} subjects')
  parts.append(f'fingerprint {held["fingerprint"]}')
  if 'date' in held:
    parts.append(f'first read on {held["date"]}')
  if start := held.get('pretrained'):
    parts.append(f'networks started from {start["file"]}')
  return ', '.join(filter(None, parts))


def compare(
  workdir: pathlib.Path,
  config: Config,
  held: dict[str, Any],
  read: Callable[[Config], data_lib.Dataset],
) -> str:
  """Compares the data of a finished run with those there now.

  Args:
    workdir: of the run.
    config: with the place of the raw data as it is now.
    held: the run's `data.json`.
    read: `run.read_dataset`; only called where the listing differs.

  Returns:
    What was found, a sentence.

  Raises:
    UserError: the data are others now, or cannot be read any more.
  """
  folder = config.data.manual_dir
  if held['simulated'] and config.data.simulation.enabled:
    return 'The data follow from the configuration.'
  if not folder:
    return (
      'Not compared with the raw data: --config.data.manual_dir is not given.'
    )
  listed = raw_files.listing(config.data)
  if not listed:
    return f'Not compared with the raw data: {folder} is not there now.'
  if listed != held.get('listing'):
    _compare_content(workdir, config, held, read)
    # Where it cannot be written, the next time takes as long again.
    with contextlib.suppress(OSError):
      files.write_json(workdir / FILE, held | {'listing': listed})
  return f'The raw data in {folder} are unchanged.'


def _compare_content(workdir, config, held, read) -> None:
  progress.console.print(
    f'Names, sizes or times in {config.data.manual_dir} are not those that the'
    ' run noted: comparing the content.'
  )
  advice = (
    f'The result in {workdir} is not of them but of {sentence(held)}. Choose'
    ' another --workdir to train on the data there now, or bring back the'
    ' others.'
  )
  try:
    dataset = read(config)
  except errors.UserError as error:
    raise errors.UserError(
      f'The raw data cannot be read as when the run was made: {error}\n{advice}'
    ) from error
  if not same(held, dataset):
    raise errors.UserError(
      'The raw data have changed since the run was made (or this version reads'
      f' them otherwise): fingerprint {dataset.fingerprint}. {advice}'
    )
