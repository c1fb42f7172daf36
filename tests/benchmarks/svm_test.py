"""The support-vector machine reads the same inputs as a model."""

import csv
import pathlib
import sys

import numpy as np
import pytest

from benchmarks import svm
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.motion import scaling
from dianet_jax.motion.registry import Channel

CLIPS = 12


def fake_dataset(variants):
  """An image and tokens of each clip; the later variants are all wrong."""
  rng = np.random.default_rng(0)
  inputs = {
    'images': rng.normal(size=(variants, CLIPS, 2, 4, 4, 3)),
    'tokens': 10 * rng.normal(size=(variants, CLIPS, 5, 2)),
  }
  names = [f's{clip % 3}' for clip in range(CLIPS)]
  return dataset_lib.Dataset(
    clips=tuple(
      dataset_lib.Clip(f'{name}/{i}', name, 'casme2', 'fear', '')
      for i, name in enumerate(names)
    ),
    inputs={k: values.astype(np.float32) for k, values in inputs.items()},
    representations={'images': 'dynamic_images', 'tokens': 'tokens'},
    channels={'images': (Channel('grey', 'grey levels'),) * 3, 'tokens': ()},
    views={'images': ('first', 'second'), 'tokens': ()},
    labels=(np.arange(CLIPS) % 2).astype(np.int32),
    classes=('yes', 'no'),
    simulated=True,
    control=False,
    fingerprint='',
    notes=(),
  )


@pytest.mark.parametrize('variants', [1, 3])
def test_features_are_those_of_the_annotated_clips(variants):
  dataset = fake_dataset(variants)
  features = svm.features_of(dataset, 'symmetric')
  images, tokens = (values[0] for values in dataset.inputs.values())
  # Scaled as the network sees them; what is no image is left alone.
  images = np.asarray(scaling.symmetric(images)).reshape(CLIPS, -1)
  np.testing.assert_array_equal(features[:, : 2 * 4 * 4 * 3], images)
  np.testing.assert_array_equal(
    features[:, 2 * 4 * 4 * 3 :], tokens.reshape(CLIPS, -1)
  )


def test_a_subject_is_predicted_by_the_others():
  dataset = fake_dataset(1)
  # One feature tells the classes apart, of one subject the wrong way round.
  subjects = np.array(dataset.subjects)
  features = np.where(subjects == 's1', -1.0, 1.0) * (2 * dataset.labels - 1)
  predicted = svm.predict(features[:, None], dataset.labels, dataset.subjects)
  np.testing.assert_array_equal(predicted == dataset.labels, subjects != 's1')


@pytest.mark.slow
def test_uncertain_offsets_leave_a_row_a_clip(
  monkeypatch, capsys, tmp_path, shared_cache
):
  options = {
    'data.cache_dir': shared_cache,
    'data.simulation.subjects': 3,
    'data.simulation.clips_per_subject': 4,
    'data.frame_size': 32,
    'data.image_size': 16,
    'data.offset_jitter_frames': 1,
  }
  monkeypatch.setattr(
    sys,
    'argv',
    [
      *('svm', '--config=configs/demo.py', f'--out={tmp_path}'),
      *(f'--config.{key}={value}' for key, value in options.items()),
    ],
  )
  svm.main()
  head, *lines = capsys.readouterr().out.splitlines()[-4:]
  assert head == 'SIMULATED DATA. 12 clips, 5 classes, 3 folds'
  names = ['onset_apex + apex_offset', 'onset_apex', 'apex_offset']
  assert [line[:24].rstrip() for line in lines] == names
  for name, line in zip(names, lines):
    assert ' accuracy 0.' in line or ' accuracy 1.' in line
    folder = tmp_path / name.replace(' + ', '-')
    with (folder / 'predictions.csv').open() as file:
      assert len({row['clip_id'] for row in csv.DictReader(file)}) == 12


@pytest.mark.parametrize(
  'argument, part',
  [
    ('--config=configs/none.py', 'configs/none.py'),
    ('--config.data.sealing=minmax', '--config.data.scaling;'),
    ('--config.data.crop=all', '--config.data.crop'),
    ('--config.data.scaling=maximum', 'maximum'),
    ('--output=DIR', '--output=DIR'),
  ],
)
def test_bad_arguments_are_named(monkeypatch, capsys, argument, part):
  argv = ['svm', '--config=configs/demo.py', argument]
  monkeypatch.setattr(sys, 'argv', argv)
  with pytest.raises(SystemExit) as stopped:
    svm.main()
  assert part in f'{stopped.value.code}{capsys.readouterr().err}'
