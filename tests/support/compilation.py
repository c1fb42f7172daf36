"""How the suite compiles, which takes most of its time."""

import jax
from jax._src import compiler
import jaxlib.version

# A program in parts takes more CPU time than whole.
_QUICKER = [('xla_cpu_parallel_codegen_split_count', 1)]
# XLA's newer emitters take two to four times as long over fusions. Later
# versions have no others.
if jaxlib.version.__version_info__ < (0, 11):
  _QUICKER.append(('xla_cpu_use_fusion_emitters', False))


def compile_quickly() -> None:
  """Compiles with less effort from here on.

  What is computed stays the same but for rounding. Where
  `jax_disable_most_optimizations` is switched off, programs are compiled as
  users have them. Not by XLA_FLAGS, which no test could take back and the
  programs that tests start would inherit.
  """
  jax.config.update('jax_disable_most_optimizations', True)
  usual = compiler.get_compile_options

  def get_compile_options(*args, **kwargs):
    options = usual(*args, **kwargs)
    if jax.config.read('jax_disable_most_optimizations'):
      options.env_option_overrides = [*options.env_option_overrides, *_QUICKER]
    return options

  compiler.get_compile_options = get_compile_options
