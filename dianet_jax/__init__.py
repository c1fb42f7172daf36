"""DIANet in JAX: micro-expressions recognised from phase-aware images."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from dianet_jax.inference.bundle import Bundle

__version__ = '0.2.0'


def load_bundle(path: str | os.PathLike[str] | None = None) -> Bundle:
  """Reads a bundle that `dianet export` wrote; see `inference.folder.load`.

      bundle = dianet_jax.load_bundle('bundle')
      bundle.predict(frames, fps=200).probabilities

  Args:
    path: folder of the bundle; None for the bundle of the package.

  Returns:
    The bundle.

  Raises:
    UserError: the folder is not a bundle, or is damaged.

  >>> load_bundle().classes
  ('negative', 'positive', 'surprise')
  """
  # Imported late: comparing results does not need jax.
  from dianet_jax.inference import folder

  return folder.load(folder.SHIPPED if path is None else path)
