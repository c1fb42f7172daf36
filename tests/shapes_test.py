"""The suite notices arrays of other shapes and dtypes than are annotated."""

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from dianet_jax.motion import scaling, strain


@pytest.mark.parametrize('module', [np, jnp])
def test_arrays_of_both_kinds_are_checked(module):
  strain.strain(module.zeros((2, 3, 4, 2)))
  for wrong in (module.zeros((3, 4, 3)), module.zeros((3, 4, 2), int)):
    with pytest.raises(jaxtyping.TypeCheckError, match='flow'):
      strain.strain(wrong)


def test_axes_agree_between_arguments():
  flow = jnp.zeros((3, 4, 2))
  strain.colors(flow, jnp.zeros((3, 4)))
  with pytest.raises(jaxtyping.TypeCheckError, match='value'):
    strain.colors(flow, jnp.zeros((4, 3)))


def test_it_can_be_switched_off(unchecked):
  with pytest.raises(ValueError, match='axis|axes|at least'):
    scaling.symmetric(jnp.zeros(3))
