"""A finished run becomes a bundle: dianet export RUN OUT [--final].

The networks of the bundle are those of up to five folds, or with --final of one
more training on all subjects. Of an ablation one row becomes a bundle; of a
nested selection the configuration that is best on all groups of subjects.
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
from dianet_jax.experiments import nested, origin, trained, workdirs
from dianet_jax.experiments import rows as rows_lib
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.inference import folder
from tfds_builders import registry as data_sets

# More take more memory and time; the mean of five is as good as of all, nearly.
_MOST_FOLDS = 5
# Frames for images that were made elsewhere are reduced to this size: that of
# our own configurations of raw data.
_FRAME_SIZE = configuration.Data().frame_size
_TEMPERATURES = (0.05, 20.0)


@dataclasses.dataclass(frozen=True)
class _Source:
  """What becomes a bundle.

  Attributes:
    workdir: of the result.
    config: of the networks.
    data: the `data.json` of what that configuration reads.
    choice: how that configuration came about, for the card; '' for a run.
  """

  workdir: pathlib.Path
  config: configuration.Config
  data: Mapping[str, Any]
  choice: str = ''


def make(
  workdir: str | os.PathLike[str], final: bool, row: str = ''
) -> bundle_lib.Bundle:
  """The bundle of a finished run, of an ablation's row or of a selection.

  Args:
    workdir: of the run or study.
    final: train once more, on all subjects, instead of taking folds.
    row: of an ablation; '' for anything else.

  Raises:
    UserError: no finished run; an ablation without a row, or a row of no
      ablation; without `final`, a nested selection whose folds have several
      configurations; with it, the raw data are not there or not those of the
      run.
  """
  source = _source(paths.normal(workdir, 'RUN'), row)
  opened = trained.open_run(source.workdir)
  summary = workdirs.load_summary(source.workdir)
  assert summary is not None, 'an unfinished run does not open'
  config = source.config
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


def _source(workdir: pathlib.Path, row: str) -> _Source:
  config = workdirs.load_config(workdir)
  kind = config.study.kind
  if kind == 'ablation':
    return _of_row(workdir, config, row)
  if row:
    raise errors.UserError(
      f'--row={row}: {workdir} is no ablation. Leave it out.'
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
      f'{workdir} is an ablation. Say which of its rows becomes a bundle,'
      f' --row=NAME, expected one of {names}.'
    )
  folder_ = workdir / row.folder
  # As it was begun, should the study have changed its rows.
  config = workdirs.load_config(folder_)
  choice = (
    f'{row.name}, one of {len(rows)} rows of an ablation. If it was picked for'
    ' its result, that result is too good.'
  )
  return _Source(folder_, config, _data_of(folder_), choice)


def _of_selection(
  workdir: pathlib.Path, config: configuration.Config
) -> _Source:
  held = workdirs.load_selection(workdir)
  name = nested.choose(held)
  [row] = [row for row in rows_lib.parse(config) if row.name == name]
  choice = (
    f'{name}, chosen among {len(held["candidates"])} by the mean UF1 over all'
    ' groups of subjects. For the result it was chosen anew for each group,'
    ' without it: the result is of the whole procedure.'
  )
  data = _data_of(workdir / 'selection' / row.folder)
  return _Source(workdir, row.config, data, choice)


def _data_of(workdir: pathlib.Path) -> Mapping[str, Any]:
  data = workdirs.load_data(workdir)
  if data is None:
    raise errors.UserError(
      f'{workdir} has no {origin.FILE}: an older version has made it. Train the'
      ' run anew in another --workdir.'
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
      'The folds of this nested selection are networks of several'
      f' configurations: {config.name}, {", ".join(sorted(others))}. Take'
      f' --final: {config.name}, the best of all groups, is then trained once'
      ' more, on all subjects.'
    )


def _members(opened: trained.TrainedRun) -> list[Mapping[str, Any]]:
  """Networks of the first seed's folds, at equal steps through the subjects."""
  seed = min(seed for seed, _ in opened.folds)
  subjects = sorted(s for own, s in opened.folds if own == seed)
  steps = np.linspace(0, len(subjects) - 1, min(_MOST_FOLDS, len(subjects)))
  return [
    opened.network(seed, subjects[round(step)]).variables for step in steps
  ]


def _float32(array: Any) -> np.ndarray:
  return np.asarray(array, np.float32)


def _data(data: configuration.Data) -> configuration.Data:
  """How a user's frames are made into what the networks read."""
  data = dataclasses.replace(data, manual_dir='', cache_dir='')
  if data_sets.facts(data.dataset).stored:
    # The run read finished images; frames have to become such first.
    size = max(_FRAME_SIZE, data.image_size)
    data = dataclasses.replace(data, align=True, frame_size=size)
  return data


def calibrate(
  probabilities: Float[np.ndarray, 'seed clip class_'],
  truth: Int[np.ndarray, ' clip'],
) -> dict[str, Any]:
  """The temperature with the least cross-entropy on held-out predictions.

  Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

  Args:
    probabilities: held-out, 0..1.
    truth: class indices.

  Returns:
    What `calibration.json` holds.
  """
  # Written with six digits: 0 is less than half of the last one.
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
  """Writes the bundle of a run and says what it is.

  Args:
    arguments: the command line's, without the program.

  Raises:
    UserError: see `make` and `folder.save`.
  """
  parser = argparse.ArgumentParser(
    prog='dianet export',
    description='Makes a bundle of a finished run: a folder with all that'
    ' `dianet predict` needs.',
  )
  parser.add_argument('run', help='the workdir of a finished run')
  parser.add_argument('out', help='folder to write, which is not there yet')
  parser.add_argument(
    '--final',
    action='store_true',
    help="train once more on all subjects, by the run's number of epochs",
  )
  parser.add_argument(
    '--row', metavar='NAME', default='', help='which row of an ablation'
  )
  parser.add_argument('--json', action='store_true', help='say it in JSON')
  options = parser.parse_args(arguments)
  made = make(options.run, options.final, options.row)
  folder.save(made, options.out)
  if options.json:
    print(json.dumps({'bundle': options.out, **made.facts}))
    return
  uf1 = made.facts['result']['uf1']['mean']
  print(
    f'{options.out}: {made.facts["training"]["networks"]}. UF1 of the run, each'
    f' subject held out: {uf1:.3f}. {options.out}/README.md says more.'
  )
