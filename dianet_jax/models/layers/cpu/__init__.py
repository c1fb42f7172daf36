"""The forms of layers that XLA is fast at on a CPU.

Used by `models.layers` alone, and switched off as a whole.

In: arrays. Out: the same numbers as of the plain forms, up to rounding.
May import: core.
"""

from collections.abc import Iterator
import contextlib
import contextvars

_ENABLED = contextvars.ContextVar('cpu_forms_enabled', default=True)


def enabled() -> bool:
  """Whether layers that are traced now may take a form of this package."""
  return _ENABLED.get()


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
  """All layers take their plain forms while they are traced in this context.

  For programs that are exported, and for derivatives other than one in reverse
  mode, which the CPU forms of convolution and max pooling do not have. The
  numbers differ by rounding alone.

  A form is chosen when a layer is traced. A function that `jax.jit` traced
  before keeps its form inside the context, and one that was traced inside keeps
  the plain form outside: trace a new function (a new lambda, say) inside.
  """
  token = _ENABLED.set(False)
  try:
    yield
  finally:
    _ENABLED.reset(token)
