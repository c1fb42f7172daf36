"""How the suite compiles: most of its time is spent so."""

import jax
from jax._src import compiler

# XLA's newer emitters take two to four times as long over fusions, and parts
# of a program in parallel more CPU time than the program whole.
_QUICKER = [
  ('xla_cpu_use_fusion_emitters', False),
  ('xla_cpu_parallel_codegen_split_count', 1),
]


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
