"""DIANet in JAX: micro-expressions recognised from phase-aware images."""

__version__ = '0.1.0'
