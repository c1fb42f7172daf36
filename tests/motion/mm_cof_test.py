"""Magnitude-modulated combined optical flow."""

import colorsys
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from dianet_jax.motion import mm_cof, phase_flow
from dianet_jax.motion.mm_cof import MM_COF
from tests.support import moving


def by_hand(flow):
  """Direction and modulated magnitude, float64, [phase, 2, row, column]."""
  magnitude = np.hypot(flow[:, 0], flow[:, 1])
  scaled = [(m - m.min()) / (m.max() - m.min()) for m in magnitude]
  combined = 0.5 * scaled[0] + 0.5 * scaled[1]
  modulated = np.where(
    combined >= combined.mean(),
    np.clip(1.5 * combined, 0, 1),
    0.5 * combined,
  )
  direction = 0.5 * flow[0] - 0.5 * flow[1]
  return direction / np.hypot(*direction), modulated


def test_values():
  # A deterministic flow, and what an implementation in float64 made of it.
  flow = 0.5 * np.sin(0.017 * np.arange(144)).reshape(2, 2, 6, 6)
  with jax.enable_x64(True):
    last = jnp.moveaxis(jnp.asarray(flow), 1, -1)
    direction, modulated = map(
      np.asarray, mm_cof.combine(last, jnp.hypot(last[..., 0], last[..., 1]))
    )
  vector = np.moveaxis(direction * modulated[..., None], -1, 0)
  pinned = json.loads(
    pathlib.Path(__file__).with_name('mm_cof.json').read_text()
  )
  np.testing.assert_allclose(modulated, pinned['modulated'], atol=1e-9)
  np.testing.assert_allclose(vector, pinned['descriptor'][:2], atol=1e-9)
  np.testing.assert_allclose(modulated, pinned['descriptor'][2], atol=1e-9)
  expected, length = by_hand(flow)
  np.testing.assert_allclose(modulated, length, rtol=1e-9)
  np.testing.assert_allclose(vector, expected * length, rtol=1e-9)


def test_modulation_and_weights():
  flow = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype(np.float32)
  magnitude = np.hypot(*np.moveaxis(flow, -1, 0))

  def made(**options):
    return mm_cof.combine(flow, magnitude, **options)

  scaled = [(m - m.min()) / np.ptp(m) for m in magnitude]
  _, plain = made(modulation='none')
  np.testing.assert_allclose(plain, np.mean(scaled, axis=0), rtol=1e-5)
  _, soft = made(modulation='soft')
  factor = 0.5 + 1 / (1 + np.exp(-(plain - plain.mean()) / 0.05))
  np.testing.assert_allclose(soft, np.clip(plain * factor, 0, 1), rtol=1e-4)
  direction, first = made(modulation='none', weights=(1.0, 0.0))
  np.testing.assert_allclose(first, scaled[0], rtol=1e-5)
  np.testing.assert_allclose(
    direction, flow[0] / magnitude[0][..., None], rtol=1e-5
  )


def test_a_phase_without_motion_leaves_the_other():
  flow = np.zeros((2, 4, 4, 2), np.float32)
  flow[0, :2, :, 0] = 3
  direction, magnitude = mm_cof.combine(
    flow, np.hypot(*np.moveaxis(flow, -1, 0))
  )
  np.testing.assert_allclose(direction[:2], [[(1, 0)] * 4] * 2)
  np.testing.assert_allclose(direction[2:], 0)
  np.testing.assert_allclose(magnitude[:2], 0.75)
  np.testing.assert_allclose(magnitude[2:], 0)
  still = mm_cof.combine(flow * 0, flow[..., 0] * 0)
  assert all((np.asarray(part) == 0).all() for part in still)


def test_of_a_clip_whose_motion_goes_back():
  clip = moving.clip(moving.translation(0.9, 0.4), (0.0, 1.0, 0.0))
  clips = moving.batch([clip], [1], padded=1)
  settings = moving.settings()
  image, padding = np.asarray(MM_COF(clips, settings))[:, 0]
  assert image.shape == (16, 16, 3) and (padding == 0).all()
  # Both phases say the same of where it went.
  away = image[2:-2, 2:-2, :2] / image[2:-2, 2:-2, 2:]
  expected = np.array([0.9, 0.4]) / np.hypot(0.9, 0.4)
  assert np.abs(away - expected).mean() < 0.05
  direction, magnitude = mm_cof.combine(
    *(lambda a: (a[..., :2], a[..., 2]))(
      phase_flow.displacement(clips, settings)
    )
  )
  np.testing.assert_allclose(image[..., 2], magnitude[0], atol=1e-6)
  colours = np.asarray(MM_COF(clips, moving.settings(flow={'coding': 'hsv'})))[
    0, 0
  ]
  hue = np.arctan2(*direction[0, 5, 7, ::-1]) / (2 * np.pi) % 1
  expected = colorsys.hsv_to_rgb(hue, 1, float(magnitude[0, 5, 7]))
  np.testing.assert_allclose(colours[5, 7], expected, atol=1e-5)
