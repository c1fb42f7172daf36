"""Devices, compiler flags and caches, set before jax does anything else."""

import importlib.metadata
import importlib.util
import os
import pathlib

from absl import logging
import jax
import jaxlib.version


def cache_dir(configured: str) -> pathlib.Path:
  """Where records and compiled programs are kept.

  Args:
    configured: `data.cache_dir`; '' for $DIANET_CACHE or ~/.cache/dianet_jax.
  """
  fallback = os.environ.get('DIANET_CACHE', '~/.cache/dianet_jax')
  return pathlib.Path(configured or fallback).expanduser().absolute()


# More would gain little, and each holds a training of its own in memory.
_MOST_CPU_DEVICES = 4

# Convolutions by Eigen instead of YNNPACK: kernel gradients take a half to a
# third of the time, a ResNet-18 step three quarters. The rest stays with
# YNNPACK, whose sums are many times faster. Known from 0.10.2 on; a later
# version may have other defaults, and a flag that it does not know would end
# the process.
_CPU_FLAG = '--xla_cpu_experimental_ynn_fusion_type'
_CPU_FLAG_VALUE = '-individual_convolution'
_FLAG_VERSIONS = ((0, 10, 2), (0, 11))


def configure(cache: pathlib.Path) -> None:
  """Sets up the CPU, if jax runs there, and keeps compiled programs in `cache`.

  Each CPU core becomes a device. Folds then run side by side, each on a core:
  small networks are 1.3 times faster than one fold on all cores. What the user
  has chosen is left as it is: another cache folder, another number of CPU
  devices, a flag in XLA_FLAGS.

  Call it before the first use of a device; later it leaves devices and flags.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  in_use = False
  if (
    jax.config.jax_num_cpu_devices < 0
    and '--xla_force_host_platform_device_count' not in flags
  ):
    number = min(os.cpu_count() or 1, _MOST_CPU_DEVICES)
    try:
      jax.config.update('jax_num_cpu_devices', number)
    except RuntimeError:
      in_use = True
  if not in_use and _CPU_FLAG not in flags and _flag_helps():
    os.environ['XLA_FLAGS'] = f'{flags} {_CPU_FLAG}={_CPU_FLAG_VALUE}'.strip()
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    jax.config.update('jax_compilation_cache_dir', str(cache / 'compiled'))
  # Small programs too: there are hundreds, and each costs more to compile
  # than to read.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  # Orbax reports every save.
  logging.set_verbosity(logging.ERROR)


def _flag_helps() -> bool:
  """Whether jax will run on a CPU, by a jaxlib that knows the flag."""
  first, last = _FLAG_VERSIONS
  if not first <= jaxlib.version.__version_info__ < last:
    return False
  if jax.config.jax_platforms:
    return jax.config.jax_platforms == 'cpu'
  # To ask jax itself would be to use its devices.
  return not (
    importlib.util.find_spec('libtpu')
    or importlib.metadata.entry_points(group='jax_plugins')
  )


def compute_dtype(configured: str, platform: str) -> str:
  """'float32' or 'bfloat16'; auto is bfloat16 on TPU and GPU."""
  if configured != 'auto':
    return configured
  return 'float32' if platform == 'cpu' else 'bfloat16'
