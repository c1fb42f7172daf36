"""Devices, compiler flags and caches, set before jax does anything else."""

import asyncio.log
import importlib.metadata
import importlib.util
import os
import pathlib
import resource

from absl import logging
import jax
import jaxlib.version

from dianet_jax.core import errors, faults, limits, paths


def cache_dir(configured: str) -> pathlib.Path:
  """Where records and compiled programs are kept.

  Args:
    configured: `data.cache_dir`; '' for $DIANET_CACHE or ~/.cache/dianet_jax.

  Raises:
    UserError: there is no such place: no home, or a file instead of a folder.
  """
  setting, path = '--config.data.cache_dir', configured
  if not path:
    setting, path = 'DIANET_CACHE', os.environ.get('DIANET_CACHE', '')
  place = paths.normal(path or '~/.cache/dianet_jax', setting)
  there = next(parent for parent in (place, *place.parents) if parent.exists())
  if not there.is_dir():
    raise errors.UserError(
      f'{setting}={place}: {there} is a file. Name a folder for prepared'
      ' records and compiled programs, which may be new.'
    )
  return place


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

  Each CPU core that the process may use becomes a device. Folds then run side
  by side, each on a core: small networks are 1.3 times faster than one fold on
  all cores. What the user has chosen is left as it is: another cache folder,
  another number of CPU devices, a flag in XLA_FLAGS.

  Call it before the first use of a device; later it leaves devices and flags.

  Raises:
    UserError: jax is to compute in 64 bits, which gives other results.
  """
  # jax adds its options as attributes when it is imported.
  if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
    raise errors.UserError(
      'JAX_ENABLE_X64 is set: networks would be trained in 64 bits, and give'
      ' other results than all other runs. Unset it.'
    )
  flags = os.environ.get('XLA_FLAGS', '')
  in_use = False
  if (
    jax.config.jax_num_cpu_devices < 0  # pyright: ignore[reportAttributeAccessIssue]
    and '--xla_force_host_platform_device_count' not in flags
  ):
    number = min(limits.cores(), _MOST_CPU_DEVICES)
    try:
      jax.config.update('jax_num_cpu_devices', number)
    except RuntimeError:
      in_use = True
  if not in_use and _CPU_FLAG not in flags and _flag_helps():
    os.environ['XLA_FLAGS'] = f'{flags} {_CPU_FLAG}={_CPU_FLAG_VALUE}'.strip()
  limits.keep_freed_memory()
  keep_programs(cache)
  # Orbax reports every save, and asyncio what orbax raises anyway.
  logging.set_verbosity(logging.ERROR)
  asyncio.log.logger.setLevel('CRITICAL')


def keep_programs(cache: pathlib.Path) -> None:
  """Keeps compiled programs in `cache`, unless the user has another place."""
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    jax.config.update('jax_compilation_cache_dir', str(cache / 'compiled'))
  # Small programs too: there are hundreds, and each costs more to compile
  # than to read.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


def _flag_helps() -> bool:
  """Whether jax will run on a CPU, by a jaxlib that knows the flag."""
  first, last = _FLAG_VERSIONS
  if not first <= jaxlib.version.__version_info__ < last:
    return False
  if platforms := jax.config.jax_platforms:  # pyright: ignore[reportAttributeAccessIssue]
    return platforms == 'cpu'
  # To ask jax itself would be to use its devices.
  return not (
    importlib.util.find_spec('libtpu')
    or importlib.metadata.entry_points(group='jax_plugins')
  )


# With 2 GB the reader of records waits for ever for a thread; 4 GB do.
_LEAST_ADDRESS_SPACE = 3_500_000_000


def require_devices() -> None:
  """Starts jax's devices.

  Raises:
    UserError: there are none of the kind that the environment asks for, or
      the process may not address the memory that its threads reserve.
  """
  limit, _ = resource.getrlimit(resource.RLIMIT_AS)
  if limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE:
    raise errors.UserError(
      f'This process may address {limit / 1e9:.1f} GB (ulimit -v); its threads'
      ' reserve more, used or not. Allow 4 GB or more: ulimit -v 4000000 (in'
      ' kB), or unlimited.'
    )
  try:
    jax.devices()
  except Exception as error:  # Of every kind, AssertionError, too.
    raise errors.UserError(
      f'jax cannot start its devices ({faults.one_line(error)});'
      f' JAX_PLATFORMS={os.environ.get("JAX_PLATFORMS", "")!r}. Unset it to'
      ' take what there is, set it to cpu for the processor, or fix the'
      ' driver.'
    ) from error


def compute_dtype(configured: str, platform: str) -> str:
  """'float32' or 'bfloat16'; auto is bfloat16 on TPU and GPU."""
  if configured != 'auto':
    return configured
  return 'float32' if platform == 'cpu' else 'bfloat16'
