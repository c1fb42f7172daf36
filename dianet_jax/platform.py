"""Devices and caches, set before jax does anything else."""

import contextlib
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


# More would gain little, and each holds a training of its own in memory.
_MOST_CPU_DEVICES = 4


def configure(cache: pathlib.Path) -> None:
  """Keeps compiled programs in `cache`, and makes a device of each CPU core.

  Folds then run side by side, each on a core: small networks are 1.3 times
  faster than one fold on all cores. What the user has chosen is left as it is:
  another cache folder, another number of CPU devices.

  Call it before the first use of a device.
  """
  chosen = '--xla_force_host_platform_device_count'
  if jax.config.jax_num_cpu_devices < 0 and chosen not in os.environ.get(
    'XLA_FLAGS', ''
  ):
    cores = os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):  # Devices are in use already.
      jax.config.update('jax_num_cpu_devices', min(cores, _MOST_CPU_DEVICES))
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
