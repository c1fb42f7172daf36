r"""A baseline for every model: a support-vector machine on the same inputs.

    python -m benchmarks.svm --config=configs/megc2019.py \
      --config.data.manual_dir=DIR

It trains scikit-learn's `SVC` with its defaults and balanced classes on all
values of the model's inputs (for DIANet: the pixels of an image of each phase),
standardised by the fold's training clips; leave-one-subject-out, pooled.
Nothing was tuned. It accepts any configuration and uses its `data` and the
inputs of its `model`, with every clip as annotated, without the variants that
`data.offset_jitter_frames` adds to training. It prints one line for all phases
together and one for each alone; inputs that depend on no phase are in all of
them. --out=DIR writes DIR/<phases>/predictions.csv for `dianet compare`. Needs
the extra [test].
"""

import argparse
from collections.abc import Sequence
import dataclasses
import pathlib
import sys

from absl import flags
from jaxtyping import Float, Int
from ml_collections import config_flags
import numpy as np
from sklearn import model_selection, pipeline, preprocessing, svm

from dianet_jax.core import config as config_lib
from dianet_jax.core import entry, errors, faults, runtime, stopping
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.evaluation import metrics, predictions, report
from dianet_jax.experiments import configuration, run
from dianet_jax.motion import scaling


def features_of(
  dataset: dataset_lib.Dataset, scale: str
) -> Float[np.ndarray, 'clip feature']:
  """All values of a model's inputs, concatenated for each clip.

  Args:
    dataset: its first variant, with the annotated key frames, is used.
    scale: a key of `scaling.SCALINGS` for images; other inputs are not scaled.
  """
  parts = []
  for name, variants in dataset.inputs.items():
    values = variants[0]
    if dataset.channels[name]:
      values = np.asarray(scaling.SCALINGS[scale](values))
    parts.append(values.reshape(len(values), -1))
  return np.concatenate(parts, axis=1)


def predict(
  features: Float[np.ndarray, 'clip feature'],
  labels: Int[np.ndarray, ' clip'],
  subjects: Sequence[str],
) -> Int[np.ndarray, ' clip']:
  """Predicted class of each clip, with its subject held out."""
  model = pipeline.make_pipeline(
    preprocessing.StandardScaler(), svm.SVC(class_weight='balanced')
  )
  folds = model_selection.LeaveOneGroupOut()
  return model_selection.cross_val_predict(
    model, features, labels, groups=subjects, cv=folds
  )


def compare(config: config_lib.Config, out: str) -> None:
  """Prints a line for all phases together and for each alone.

  Args:
    config: gives the data and the model's inputs.
    out: folder for predictions; '' for none.
  """
  lines, alone = [], [(phase,) for phase in config.data.phases]
  for phases in dict.fromkeys([config.data.phases, *alone]):
    data = dataclasses.replace(config.data, phases=phases)
    dataset = run.read_dataset(dataclasses.replace(config, data=data))
    predicted = predict(
      features_of(dataset, data.scaling), dataset.labels, dataset.subjects
    )
    confusion = metrics.confusion_matrix(
      dataset.labels, predicted, len(dataset.classes)
    )
    values = ', '.join(
      f'{key} {metric(confusion):.3f}'
      for key, metric in metrics.METRICS.items()
    )
    lines.append(f'{" + ".join(phases):<24} {values}')
    if out:
      folder = pathlib.Path(out, '-'.join(phases))
      folder.mkdir(parents=True, exist_ok=True)
      # It gives no probabilities, so they are 0 or 1.
      sure = np.eye(len(dataset.classes))[predicted]
      pooled = report.Pooled((0,), sure[None], predicted[None])
      predictions.write(folder / 'predictions.csv', dataset, pooled)
  # Below the progress bars of reading.
  print(
    f'{"SIMULATED DATA. " if dataset.simulated else ""}'
    f'{len(dataset.clips)} clips, {len(dataset.classes)} classes,'
    f' {len(set(dataset.subjects))} folds',
    *lines,
    sep='\n',
  )


def read_config(path: str, overrides: Sequence[str]) -> config_lib.Config:
  """The configuration of a file and of flags `--config.KEY=VALUE`."""
  argv = ['svm', f'--config={path}', *overrides]
  values = flags.FlagValues()
  holder = config_flags.DEFINE_config_file(
    'config',
    flag_values=values,
    sys_argv=argv,
    # An unknown key gets the message of `configuration`.
    lock_config=False,
    accept_new_attributes=True,
  )
  try:
    values(argv)
    nested = configuration.changed(
      holder.value.to_dict(),
      config_flags.get_override_values(values['config']),
    )
  except errors.UserError:
    raise
  except Exception as error:  # A configuration file may raise anything.
    raise errors.UserError(
      f'--config={path}: {faults.one_line(error)}'
    ) from error
  return configuration.from_mapping(nested)


def main() -> None:
  """Prints everything."""
  if status := entry.run(_run):
    sys.exit(status)


def _run() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--config', required=True, help='a file of configs/[:model]'
  )
  parser.add_argument(
    '--out', default='', help='folder for predictions.csv files'
  )
  options, rest = parser.parse_known_args()
  if wrong := [flag for flag in rest if not flag.startswith('--config.')]:
    parser.error(f'unrecognized arguments: {" ".join(wrong)}')
  config = read_config(options.config, rest)
  runtime.configure(runtime.cache_dir(config.data.cache_dir))
  runtime.require_devices()
  with stopping.immediate():
    compare(config, options.out)


if __name__ == '__main__':
  main()
