"""Devices and caches, set before jax does anything else."""

import os
import pathlib

from absl import logging
import jax


def cache_dir(configured: str) -> pathlib.Path:
  """Where records and compiled programs are kept.

  Args:
    configured: `data.cache_dir`; '' for $DIANET_CACHE or ~/.cache/dianet_jax.
  """
  fallback = os.environ.get('DIANET_CACHE', '~/.cache/dianet_jax')
  return pathlib.Path(configured or fallback).expanduser().absolute()


def configure(cache: pathlib.Path) -> None:
  """Keeps compiled programs in `cache`, unless the user chose another place.

  Call it before the first use of a device.
  """
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    jax.config.update('jax_compilation_cache_dir', str(cache / 'compiled'))
  # Small programs too: there are hundreds, and each costs more to compile
  # than to read.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  # Orbax reports every save.
  logging.set_verbosity(logging.ERROR)


def compute_dtype(configured: str, platform: str) -> str:
  """'float32' or 'bfloat16'; auto is bfloat16 on TPU and GPU."""
  if configured != 'auto':
    return configured
  return 'float32' if platform == 'cpu' else 'bfloat16'
