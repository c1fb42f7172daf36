"""A bundle computes the same as training."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.clips import images, segments
from dianet_jax.core import config, errors
from dianet_jax.data import inputs as inputs_lib
from dianet_jax.inference.bundle import Bundle
from dianet_jax.models import layers
from dianet_jax.models.registry import MODELS
from dianet_jax.motion import registry as motion
from dianet_jax.training.objectives import CrossEntropy
from dianet_jax.training.trainer import Trainer
from tests.models.zoo import small
from tests.support import moving, small_bundles


def test_it_predicts_like_the_trainer():
  bundle = small_bundles.make(members=1)
  trainer = Trainer(
    bundle.network,
    CrossEntropy(config.Objective()),
    config.Train(),
    bundle.data.scaling,
    bundle.channels,
    4,
  )
  inputs = small_bundles.inputs(bundle, 3)
  assert layers.cpu.enabled()
  expected = trainer.probabilities(bundle.members[0], inputs)
  found = np.exp(bundle.log_probabilities_of(inputs))
  np.testing.assert_allclose(found, expected, atol=1e-5)


EACH = small.COMPACT | {'fusion': 'each_phase', 'share_backbone': True}


def test_the_image_of_the_whole_clip_predicts():
  """The bundle's network knows the phases of its views."""
  bundle = small_bundles.make(members=1, settings=EACH, phases=config.PHASES)
  inputs = small_bundles.inputs(bundle, 3)
  found = bundle.log_probabilities_of(inputs)
  whole = bundle.data.phases.index('onset_offset')
  moved = {'dynamic_images': inputs['dynamic_images'].copy()}
  for view in range(3):
    moved['dynamic_images'][:, view] *= -1
    change = np.abs(bundle.log_probabilities_of(moved) - found).max()
    assert (change > 1e-3) == (view == whole)
    moved['dynamic_images'][:, view] *= -1


@pytest.mark.parametrize(
  'settings, phases',
  [
    (small.COMPACT | {'fusion': 'adaptive'}, ('onset_offset',)),
    (EACH, ('onset_apex', 'onset_offset')),
  ],
)
def test_two_orders_of_frames_are_predicted_and_explained(settings, phases):
  bundle = small_bundles.make(
    members=1, settings=settings, phases=phases, frame_order='both'
  )
  [titles] = bundle.views.values()
  assert titles[-2:] == (
    'onset to offset by time', 'onset to offset by intensity',
  )  # fmt: skip
  steps = np.arange(9)
  frames = moving.clip(
    moving.translation(1.5, 1.0), [0, 1, 3, 2, 4, 6, 5, 3, 1], 48
  )
  clip = segments.Clip('c', frames, steps, steps / 100, 5, 'given', ())
  prediction = bundle.predict_clip(clip)
  made = prediction.inputs['dynamic_images']
  assert made.shape[0] == len(titles) == 2 * len(phases)
  assert np.abs(made[-1] - made[-2]).max() > 1
  explained = bundle.explain(prediction)
  assert max(map(abs, explained.evidence.values())) > 0
  assert all(np.isfinite(m).all() for m in explained.activation.values())
  assert explained.activation


@pytest.mark.slow
@pytest.mark.parametrize('name', MODELS)
def test_every_model_has_an_inference_form(name):
  model, specs = small.make(name)
  [(read, spec)] = specs.items()
  blank = {read: jax.ShapeDtypeStruct((1, *spec.shape), 'float32')}
  variables = small.variables_of(model, blank)
  inputs, _ = small.planted(name, 3)
  expected = small.jit(model.apply)(variables, inputs).logits

  def one_by_one(variables, clips):
    with layers.cpu.for_one_clip():
      return jax.vmap(
        lambda one: model.apply(variables, {read: one[None]}).logits[0]
      )(clips)

  [clip] = jax.export.symbolic_shape('clip')
  exported = jax.export.export(jax.jit(one_by_one), platforms=('cpu', 'tpu'))(
    jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), variables),
    jax.ShapeDtypeStruct((clip, *spec.shape), 'float32'),
  )
  found = small.jit(exported.call)(variables, inputs[read])
  scale = float(jnp.abs(expected).max())
  np.testing.assert_allclose(found, expected, atol=1e-5 * scale)


def test_probabilities_are_averaged_over_members_and_calibrated():
  bundle = small_bundles.make(members=2)
  inputs = small_bundles.inputs(bundle, 3)
  alone = [
    np.exp(
      dataclasses.replace(bundle, members=(one,)).log_probabilities_of(inputs)
    )
    for one in bundle.members
  ]
  assert np.abs(alone[0] - alone[1]).max() > 1e-3
  mean = np.mean(alone, axis=0)
  np.testing.assert_allclose(
    np.exp(bundle.log_probabilities_of(inputs)), mean, atol=1e-6
  )
  powered = mean ** (1 / 1.5)
  powered /= powered.sum(axis=1, keepdims=True)
  np.testing.assert_allclose(bundle.probabilities(inputs), powered, atol=1e-6)


def frames_of_a_clip(size=48):
  shares = np.concatenate([np.linspace(0, 1, 7), np.linspace(1, 0, 6)])
  return moving.clip(
    lambda x, y: (2 * np.exp(-((x - 20) ** 2) / 50), 0 * y), shares, size
  )


@pytest.mark.parametrize('size', [48, 64])
def test_a_training_clip_gives_the_training_tensors(size):
  bundle = small_bundles.make(members=1)
  frames = frames_of_a_clip(size)
  rows = {n: motion.REPRESENTATIONS[r] for n, r in bundle.feed.items()}
  trained = inputs_lib.make([moving.record(frames, 6)], bundle.data, None, rows)
  found = bundle.predict(frames, fps=100, apex=6)
  assert found.clip.apex_source == 'given'
  for name, values in found.inputs.items():
    expected = trained[name][0, 0]
    scale = np.abs(expected).max()
    assert scale > 1
    np.testing.assert_allclose(values, expected, atol=1e-6 * scale)
  # In a batch of the training's own shape bit for bit.
  cut = [images.fit(f, bundle.data.crop, 48) for f in frames]
  batch = inputs_lib.pad([np.stack(cut)], [[0, 6, 12]], inputs_lib.BATCH)
  for name, row in rows.items():
    again = np.asarray(row(batch, bundle.data))[0]
    np.testing.assert_array_equal(again, trained[name][0, 0])


def test_prediction_is_named_and_sums_to_one():
  bundle = small_bundles.make()
  found = bundle.predict(frames_of_a_clip(), fps=200, onset=0, offset=12)
  assert tuple(found.probabilities) == bundle.classes
  assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)
  assert found.label in bundle.classes
  assert found.clip.apex_source == 'spotted' and found.clip.apex == 6


def test_the_surroundings_of_a_segment_change_nothing():
  bundle = small_bundles.make()
  frames = frames_of_a_clip()
  noise = np.random.default_rng(0).integers(0, 256, (9, 48, 48, 3), np.uint8)
  around = np.concatenate([noise, frames, noise])
  alone = bundle.predict(frames, fps=100)
  inside = bundle.predict(around, fps=100, onset=9, offset=21)
  assert inside.probabilities == alone.probabilities
  assert inside.clip.numbers.tolist() == list(range(9, 22))


@pytest.mark.parametrize(
  'options,reason',
  [
    ({'onset': 5, 'apex': 3}, 'in this order'),
    ({'onset': -1}, 'in this order'),
    ({'offset': 13}, 'all key frames among them'),
    ({'onset': 12}, '1 frame'),
    ({'fps': 0}, 'fps=0'),
    ({'fps': float('nan')}, 'fps=nan'),
    ({'fps': 5}, 'longer than 2 seconds'),
  ],
)
def test_invalid_clips_are_refused(options, reason):
  bundle = Bundle('x', ('a', 'b'), small_bundles.data(), None, (), {}, {})
  options = {'fps': 100} | options
  with pytest.raises(errors.UserError, match=reason):
    bundle.predict(frames_of_a_clip(), **options)


@pytest.mark.usefixtures('unchecked')
def test_frames_of_another_kind_are_refused():
  bundle = small_bundles.make(members=1)
  with pytest.raises(errors.UserError, match=r'float64 \[13, 48, 48, 3\]'):
    bundle.predict(frames_of_a_clip() / 255, fps=100)
