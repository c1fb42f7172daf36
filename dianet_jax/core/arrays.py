"""The type of arrays that may be on the host or on a device."""

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
