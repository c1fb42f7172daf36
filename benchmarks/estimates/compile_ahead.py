"""Compiling for a TPU or GPU that is not here.

    prepare_environment(None)
    estimate(step, [state, batch], tpu_topology('v5e'), CHIPS['v5e'])

The compilers come in packages: `missing_for_tpu` and `missing_for_gpu` say how
to install them.
"""

from collections.abc import Callable
import dataclasses
import glob
import importlib.metadata
import importlib.util
import os
import pathlib
import re

import jax
from jax.experimental import topologies

from benchmarks.estimates import hlo_cost

# Published bandwidths and peaks. The clock of v5e is published, that of v6e
# follows from its peak if a core has four matrix units of 256 x 256.
CHIPS = {
  'v5e': hlo_cost.Chip(clock=1.5e9, bandwidth=819e9, peak=197e12),
  'v6e': hlo_cost.Chip(clock=1.75e9, bandwidth=1640e9, peak=918e12),
}
# An H100 SXM, as the compiler wants it described; from its data sheet and
# NVIDIA's table of compute capabilities.
_H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  threads_per_warp: 32 threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  registers_per_block_limit: 65536 registers_per_core_limit: 65536
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800
  device_memory_size: 85899345920
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 3 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
_GPU_PACKAGES = ('jax-cuda12-plugin', 'jax-cuda12-pjrt')


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A compiled program; see `hlo_cost` for how far it can be trusted.

  Attributes:
    cost: all but the time of Pallas kernels' instructions.
    temp_bytes: temporary main memory.
    kernel_seconds: Pallas kernels' instructions, one bundle a cycle without
      stalls; None where there is no kernel or nothing is known of it.
    chip: what it was made for.
  """

  cost: hlo_cost.Cost
  temp_bytes: int
  kernel_seconds: float | None
  chip: hlo_cost.Chip

  def roof_seconds(self) -> float:
    """Copies and kernels overlap with all else: the best case."""
    return max(self.cost.hidden_seconds(self.chip), self.kernel_seconds or 0)

  def worst_seconds(self) -> float:
    """No asynchronous copy is hidden.

    A kernel's own copies are, since it has two buffers; what surrounds it
    takes the compiler's cycles.
    """
    if self.cost.kernels:
      roof = max(self.cost.exposed_seconds(self.chip), self.kernel_seconds or 0)
      return roof + self.cost.raw_seconds(self.chip)
    return self.cost.exposed_seconds(self.chip)


def compile_for(
  function: Callable, arguments, topology: topologies.TopologyDescription
) -> jax.stages.Compiled:
  """Compiles for one device of a topology that need not be here.

  Args:
    function: traceable by jit.
    arguments: a sequence of pytrees of `jax.ShapeDtypeStruct`.
    topology: see `tpu_topology` and `gpu_topology`.
  """
  sharding = jax.sharding.SingleDeviceSharding(topology.devices[0])
  placed = jax.tree.map(
    lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding),
    tuple(arguments),
  )
  return jax.jit(function).lower(*placed).compile()


def estimate(
  function: Callable,
  arguments,
  topology: topologies.TopologyDescription,
  chip: hlo_cost.Chip,
  dump: pathlib.Path | None = None,
  kernel_steps: int = 1,
) -> Estimate:
  """What one call should cost.

  Args:
    function: as for `compile_for`.
    arguments: as for `compile_for`.
    topology: as for `compile_for`.
    chip: one of `CHIPS`.
    dump: the folder given to `prepare_environment`; emptied. For programs of
      one Pallas kernel, whose body has no loop.
    kernel_steps: the product of that kernel's grid.
  """
  compiled = compile_for(function, arguments, topology)
  cost = hlo_cost.program_cost(compiled.as_text(), chip)
  bundles = kernel_bundles(dump) if dump else None
  return Estimate(
    cost,
    compiled.memory_analysis().temp_size_in_bytes,
    bundles * kernel_steps / chip.clock if bundles else None,
    chip,
  )


def tpu_topology(chip: str) -> topologies.TopologyDescription:
  """Four chips in a square: the smallest that the compiler takes."""
  return topologies.get_topology_desc(
    topology_name=f'{chip}:2x2', platform='tpu'
  )


def gpu_topology() -> topologies.TopologyDescription:
  """One H100."""
  return topologies.get_topology_desc(
    topology_name='1x1x1',
    platform='cuda',
    topology='1x1x1',
    target_config=_H100,
  )


def missing_for_tpu() -> str | None:
  """What to install to compile for TPUs, or None."""
  if importlib.util.find_spec('libtpu'):
    return None
  wanted = [
    requirement.split(';')[0].strip()
    for requirement in importlib.metadata.requires('jax') or []
    if requirement.startswith('libtpu')
  ]
  package = wanted[0] if wanted else 'libtpu'
  return f"TPU: skipped, no compiler here: pip install '{package}'"


def unfit_for(chip: str) -> str | None:
  """Why the TPU compiler here cannot be asked for training, or None.

  Args:
    chip: a key of `CHIPS`.
  """
  version = importlib.metadata.version('libtpu')
  # 0.0.42 and 0.0.42.1 overflow their stack on the gradients of two stages of
  # ResNet-18, which would end this process; 0.0.43.2 and 0.0.52 do not.
  if chip == 'v6e' and version.split('.')[:3] == ['0', '0', '42']:
    return (
      f'{chip}: training skipped, libtpu {version} crashes on it: '
      "pip install 'libtpu==0.0.43.2'"
    )
  return None


def missing_for_gpu() -> str | None:
  """What to install to compile for GPUs, or None."""
  if importlib.util.find_spec('jax_cuda12_plugin'):
    return None
  packages = ' '.join(f'{name}=={jax.__version__}' for name in _GPU_PACKAGES)
  return (
    'GPU: skipped, no compiler here: in a virtual environment of its own, '
    f'pip install --no-deps {packages}'
  )


def prepare_environment(dump: pathlib.Path | None) -> None:
  """Lets the compilers run without their devices.

  Call it before jax uses a device: libraries read the environment when they
  are loaded.

  Args:
    dump: where the TPU compiler is to write what it makes of kernels.
  """
  if not glob.glob('/dev/accel*') and not glob.glob('/dev/vfio/*'):
    # Don't ask the cloud's metadata server which machine this is.
    os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
    os.environ.setdefault('TPU_ACCELERATOR_TYPE', 'v5litepod-4')
    os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
    # Several processes may compile at once.
    os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
    # A library without its device is not to be tried as one.
    if not glob.glob('/dev/nvidia*'):
      os.environ.setdefault('JAX_PLATFORMS', 'cpu')
      os.environ.setdefault('JAX_SKIP_CUDA_CONSTRAINTS_CHECK', '1')
  if dump:
    flags = (
      f'--xla_jf_dump_to={dump} --xla_jf_dump_llo_text=true '
      '--xla_jf_dump_llo_pass_label_regex=.*final_bundles.*'
    )
    previous = os.environ.get('LIBTPU_INIT_ARGS', '')
    os.environ['LIBTPU_INIT_ARGS'] = f'{previous} {flags}'.strip()
  # Read from the environment when jax was imported.
  if os.environ.get('JAX_PLATFORMS') and not jax.config.jax_platforms:
    jax.config.update('jax_platforms', os.environ['JAX_PLATFORMS'])


def kernel_bundles(dump: pathlib.Path) -> int | None:
  """Instruction bundles in one step of the one kernel in a dump; empties it."""
  counts = []
  for report in dump.iterdir():
    # One report an instruction, and TLP, the program around them.
    if 'schedule-analysis' in report.name and '-TLP-' not in report.name:
      text = report.read_text()
      if 'custom_call_target="tpu_custom_call"' in text:
        counts += re.findall(r'total scheduled bundles:\s+(\d+)', text)
    report.unlink()
  return int(counts[0]) if len(counts) == 1 else None
