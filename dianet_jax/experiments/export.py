"""Exports a finished run as a bundle: dianet export RUN OUT [--final].

The networks of the bundle are those of up to five folds or, with --final, of
one more training on all subjects. From an ablation, one row is exported; from a
nested selection, the configuration that is best on all groups of subjects.
"""

import argparse
from collections.abc import Mapping, Sequence
import dataclasses
import json
import os
import pathlib
from typing import Any

import jax
from jaxtyping import Float, Int
import numpy as np
from scipy import optimize

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, paths
from dianet_jax.evaluation import metrics, predictions
from dianet_jax.experiments import final as final_lib
from dianet_jax.experiments import nested, origin, rules, trained, workdirs
from dianet_jax.experiments import rows as rows_lib
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.inference import folder
from dianet_jax.motion import registry as motion
from tfds_builders import registry as data_sets

# More need more memory and time, and are hardly better.
_MOST_FOLDS = 5
# Frames are resized to this size, as in our configurations of raw data, if the
# run was trained on images computed by others.
_FRAME_SIZE = configuration.Data().frame_size
_TEMPERATURES = (0.05, 20.0)


@dataclasses.dataclass(frozen=True)
class _Source:
  """The source of a bundle.

  Attributes:
    workdir: of the result.
    config: of the networks.
    data: the `data.json` for that configuration.
    choice: how the configuration was chosen, for the card; '' for a run.
  """

  workdir: pathlib.Path
  config: configuration.Config
  data: Mapping[str, Any]
  choice: str = ''


def make(
  workdir: str | os.PathLike[str], final: bool, row: str = ''
) -> bundle_lib.Bundle:
  """Makes the bundle of a finished run, a row of an ablation or a selection.

  Args:
    workdir: of the run or study.
    final: train once more, on all subjects, instead of using folds.
    row: of an ablation; '' otherwise.

  Returns:
    The bundle.

  Raises:
    UserError: the run is not finished, or read stored position images; an
      ablation without `row`, or `row` without an ablation; without `final`, a
      nested selection whose folds have several configurations; with `final`,
      the raw data are missing or differ from those of the run.
  """
  source = _source(paths.normal(workdir, 'RUN'), row)
  opened = trained.open_run(source.workdir)
  summary = workdirs.load_summary(source.workdir)
  assert summary is not None, 'an unfinished run does not open'
  config = source.config
  _refuse_stored_positions(config)
  pooled = predictions.load(source.workdir)
  if final:
    chosen = [
      one['epoch']
      for one in summary['evaluation'].get('chosen', ())
      if opened.places[one['subject']][1] == config
    ]
    epochs = final_lib.epochs_of(config, chosen)
    members = final_lib.train(config, source.data, epochs, source.workdir)
    networks = f'trained once more on all subjects for {epochs} epochs'
  else:
    _refuse_several(opened, config)
    members = _members(opened)
    networks = (
      f'the networks of {len(members)} of {len(opened.folds)} folds, each'
      ' trained on all subjects but one'
    )
  return bundle_lib.Bundle(
    name=config.name,
    classes=opened.classes,
    data=_data(config.data),
    model=dataclasses.replace(config.model, pretrained=''),
    members=tuple(jax.tree.map(_float32, one) for one in members),
    calibration=calibrate(pooled.probabilities, pooled.truth),
    facts={
      'training': _training(source, summary, networks),
      'result': _result(summary),
      'versions': workdirs.versions(),
    },
  )


def _refuse_stored_positions(config: configuration.Config) -> None:
  reads = rules.feed(config).values()
  if any(motion.REPRESENTATIONS[name].positions for name in reads):
    raise errors.UserError(
      f'data.inputs={config.data.inputs}: a bundle makes its inputs from'
      ' frames, and position images are only stored. Export a run with'
      ' --config.data.inputs="(\'phase_flow\',)" and'
      ' --config.model.position_images=derived.'
    )


def _source(workdir: pathlib.Path, row: str) -> _Source:
  config = workdirs.load_config(workdir)
  kind = config.study.kind
  if kind == 'ablation':
    return _of_row(workdir, config, row)
  if row:
    raise errors.UserError(
      f'--row={row}: {workdir} is not an ablation. Leave out --row.'
    )
  if kind == 'nested':
    return _of_selection(workdir, config)
  return _Source(workdir, config, _data_of(workdir))


def _of_row(
  workdir: pathlib.Path, config: configuration.Config, name: str
) -> _Source:
  rows = rows_lib.parse(config)
  [row] = [one for one in rows if one.name == name] or [None]
  if row is None:
    names = ', '.join(one.name for one in rows)
    raise errors.UserError(
      f'{workdir} is an ablation. Choose the row to export by --row=NAME,'
      f' expected one of {names}.'
    )
  folder_ = workdir / row.folder
  # The configuration of its run, in case the rows of the study have changed.
  config = workdirs.load_config(folder_)
  choice = (
    f'{row.name}, one of {len(rows)} rows of an ablation. If it was chosen by'
    ' its result, that result is optimistic.'
  )
  return _Source(folder_, config, _data_of(folder_), choice)


def _of_selection(
  workdir: pathlib.Path, config: configuration.Config
) -> _Source:
  recorded = workdirs.load_selection(workdir)
  name = nested.choose(recorded)
  [row] = [row for row in rows_lib.parse(config) if row.name == name]
  choice = (
    f'{name}, chosen among {len(recorded["candidates"])} by the mean UF1 over'
    ' all groups of subjects. For the result, one was chosen for each group'
    ' without its subjects: it is the result of the complete procedure.'
  )
  data = _data_of(workdir / 'selection' / row.folder)
  return _Source(workdir, row.config, data, choice)


def _data_of(workdir: pathlib.Path) -> Mapping[str, Any]:
  data = workdirs.load_data(workdir)
  if data is None:
    raise errors.UserError(
      f'{workdir} has no {origin.FILE}: it was made by an older version. Train'
      ' the run again in another --workdir.'
    )
  return data


def _refuse_several(
  opened: trained.TrainedRun, config: configuration.Config
) -> None:
  others = {
    other.name for _, other in opened.places.values() if other != config
  }
  if others:
    raise errors.UserError(
      'The folds of this nested selection have several configurations:'
      f' {config.name}, {", ".join(sorted(others))}. Use --final:'
      f' {config.name}, the best of all groups, is then trained once more, on'
      ' all subjects.'
    )


def _members(opened: trained.TrainedRun) -> list[Mapping[str, Any]]:
  """Networks of folds of the first seed, evenly spaced over the subjects."""
  seed = min(seed for seed, _ in opened.folds)
  subjects = sorted(s for own, s in opened.folds if own == seed)
  steps = np.linspace(0, len(subjects) - 1, min(_MOST_FOLDS, len(subjects)))
  return [
    opened.network(seed, subjects[round(step)]).variables for step in steps
  ]


def _float32(array: Any) -> np.ndarray:
  return np.asarray(array, np.float32)


def _data(data: configuration.Data) -> configuration.Data:
  """The settings to compute the networks' inputs from a user's frames."""
  data = dataclasses.replace(data, manual_dir='', cache_dir='')
  if data_sets.facts(data.dataset).stored:
    # The run read images; the user's frames have to be converted to such.
    size = max(_FRAME_SIZE, data.image_size)
    data = dataclasses.replace(data, align=True, frame_size=size)
  return data


def calibrate(
  probabilities: Float[np.ndarray, 'seed clip class_'],
  truth: Int[np.ndarray, ' clip'],
) -> dict[str, Any]:
  """Fits the temperature with the lowest cross-entropy on held-out predictions.

  Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

  Args:
    probabilities: held-out predictions, 0..1.
    truth: class indices.

  Returns:
    The content of `calibration.json`.
  """
  # They have six digits, so 0 means less than half of the last digit.
  logs = np.log(np.maximum(probabilities, 5e-7))

  def nats(log_temperature: float) -> float:
    scaled = logs / np.exp(log_temperature)
    scaled -= np.logaddexp.reduce(scaled, axis=-1, keepdims=True)
    return -float(scaled[:, np.arange(len(truth)), truth].mean())

  found = optimize.minimize_scalar(
    nats, bounds=tuple(np.log(_TEMPERATURES)), method='bounded'
  )
  return {
    'temperature': float(np.exp(found.x)),
    'clips': len(truth),
    'of': 'held-out predictions of the leave-one-subject-out run',
    'nats_before': nats(0.0),
    'nats_after': nats(found.x),
  }


def _training(
  source: _Source, summary: dict[str, Any], networks: str
) -> dict[str, Any]:
  data = source.config.data
  more = {
    'pretrained': workdirs.started(source.data),
    'choice': source.choice,
  }
  return {
    **{key: text for key, text in more.items() if text},
    'dataset': f'simulated {data.dataset}'
    if summary['simulated']
    else data.dataset,
    'protocol': ', '.join(data.emotions) or data.protocol,
    'clips': summary['overall']['n'],
    'class_counts': ', '.join(
      f'{n} {name}' for name, n in summary['overall']['clips_per_class'].items()
    ),
    'subjects': summary['folds'],
    'fingerprint': summary['data_fingerprint'],
    'simulated': summary['simulated'],
    'control': summary['control'],
    'origin': data_sets.facts(data.dataset).guide.source,
    'prepared_by_others': bool(data_sets.facts(data.dataset).stored),
    'networks': networks,
    'run': source.workdir.name,
  }


def _result(summary: dict[str, Any]) -> dict[str, Any]:
  overall = summary['overall']
  figures = {
    key: {
      'mean': overall[key]['mean'],
      'interval_95': overall[key].get('interval_95'),
      'chance_95': overall[key].get('chance_95'),
    }
    for key in metrics.METRICS
    if key in overall
  }
  return {
    'n': overall['n'],
    'folds': summary['folds'],
    'seeds': len(summary['seeds']),
    'protocol': 'leave-one-subject-out',
    **figures,
  }


def main(arguments: Sequence[str]) -> None:
  """The command `dianet export`.

  Args:
    arguments: of the command line, without the program's name.

  Raises:
    UserError: see `make` and `folder.save`.
  """
  parser = argparse.ArgumentParser(
    prog='dianet export',
    description='Exports a finished run as a bundle: a folder with everything'
    ' that `dianet predict` needs.',
  )
  parser.add_argument('run', help='workdir of a finished run or study')
  parser.add_argument('out', help='folder to write; must not exist')
  parser.add_argument(
    '--final',
    action='store_true',
    help='train a new network on all subjects and export it',
  )
  parser.add_argument(
    '--row', metavar='NAME', default='', help='row to export, for an ablation'
  )
  parser.add_argument(
    '--json', action='store_true', help='print the result as JSON'
  )
  options = parser.parse_args(arguments)
  made = make(options.run, options.final, options.row)
  folder.save(made, options.out)
  if options.json:
    print(json.dumps({'bundle': options.out, **made.facts}))
    return
  uf1 = made.facts['result']['uf1']['mean']
  print(
    f'{options.out}: {made.facts["training"]["networks"]}. UF1 of the run, by'
    f' leave-one-subject-out: {uf1:.3f}. See {options.out}/README.md.'
  )
