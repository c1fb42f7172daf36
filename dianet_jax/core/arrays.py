"""The type of arrays that are made on the host and may go to a device."""

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
