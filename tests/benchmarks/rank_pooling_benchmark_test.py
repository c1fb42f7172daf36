"""The benchmark compares forms that compute the same."""

import numpy as np
import pytest

from benchmarks import rank_pooling as benchmark
from benchmarks.peers import rank_pooling_forms as forms
from dianet_jax.motion import rank_pooling


@pytest.mark.parametrize('name', forms.FORMS)
def test_every_form_is_rank_pooling(name):
  package, form = forms.FORMS[name]
  if package:
    pytest.importorskip(package)
  clips = forms.make_clips(clips=3, frames=9, size=8)
  expected = [
    [
      np.tensordot(
        rank_pooling.coefficients(last - first + 1),
        clip[first : last + 1].astype(np.float64),
        1,
      )
      for first, last in ((0, 4), (4, 8))
    ]
    for clip in clips.frames
  ]
  pooled = np.asarray(form(clips)()).reshape(3, 2, 8, 8, 3)
  np.testing.assert_allclose(pooled, expected, atol=1e-3)


def test_the_fastest_run_counts():
  seconds = benchmark.best_seconds(lambda: None, least=0.0)
  assert 0 < seconds < 1
