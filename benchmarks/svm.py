r"""What a network must beat: a support-vector machine on the phase images.

python -m benchmarks.svm --config=configs/megc2019.py \
  --config.data.manual_dir=DIR

scikit-learn's `SVC` as it comes, with balanced classes, on the pixels of the
phase images, standardised by the fold's training clips; leave-one-subject-out,
pooled. Nothing was tuned. Any configuration will do; of it `data` is used.
With --out=DIR there are DIR/<phases>/predictions.csv for
`dianet compare`. Needs the extra [test].
"""

import pathlib
import sys

from absl import app, flags
from ml_collections import config_flags
import numpy as np
from sklearn import model_selection, pipeline, preprocessing, svm

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, runtime
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.evaluation import metrics, report
from dianet_jax.motion import scaling

_CONFIG = config_flags.DEFINE_config_file('config', None, 'A file of configs/.')
_OUT = flags.DEFINE_string('out', '', 'Folder for predictions.csv files.')
flags.mark_flag_as_required('config')


def predict(
  features: np.ndarray, labels: np.ndarray, subjects: np.ndarray
) -> np.ndarray:
  """Predicted class of each clip, its subject held out.

  Args:
    features: float [clip, feature].
    labels: int [clip].
    subjects: str [clip].
  """
  model = pipeline.make_pipeline(
    preprocessing.StandardScaler(), svm.SVC(class_weight='balanced')
  )
  folds = model_selection.LeaveOneGroupOut()
  return model_selection.cross_val_predict(
    model, features, labels, groups=subjects, cv=folds
  )


def main(argv: list[str]) -> None:
  """Prints a line for all phases together and for each alone."""
  del argv
  try:
    config = configuration.from_mapping(_CONFIG.value.to_dict())
    runtime.configure(runtime.cache_dir(config.data.cache_dir))
    dataset = dataset_lib.load(config.data, config.seed)
  except errors.UserError as error:
    sys.exit(f'error: {error}')
  images = np.asarray(scaling.SCALINGS[config.data.scaling](dataset.images))
  subjects = np.array(dataset.subjects)
  print(
    f'{"SIMULATED DATA. " if dataset.simulated else ""}{len(subjects)} clips,'
    f' {len(dataset.classes)} classes, {len(set(subjects))} folds'
  )
  phases = config.data.phases
  chosen = {' + '.join(phases): range(len(phases))}
  chosen |= {phase: [index] for index, phase in enumerate(phases)}
  for name, indices in chosen.items():
    features = images[:, list(indices)].reshape(len(images), -1)
    guess = predict(features, dataset.labels, subjects)
    confusion = metrics.confusion_matrix(
      dataset.labels, guess, len(dataset.classes)
    )
    values = ', '.join(
      f'{key} {metric(confusion):.3f}'
      for key, metric in metrics.METRICS.items()
    )
    print(f'{name:<24} {values}')
    if _OUT.value:
      folder = pathlib.Path(_OUT.value) / name.replace(' + ', '-')
      folder.mkdir(parents=True, exist_ok=True)
      # It has no probabilities: all or nothing.
      sure = np.eye(len(dataset.classes))[guess]
      pooled = report.Pooled((0,), sure[None], guess[None])
      report.write_predictions(folder / 'predictions.csv', dataset, pooled)


if __name__ == '__main__':
  app.run(main)
