"""Forms (implementations) of layers that XLA runs fast on a CPU.

Only `models.layers` uses them; `switched_off` disables all of them.

In: arrays. Out: the numbers of the plain forms, up to rounding.
May import: core.
"""

from collections.abc import Iterator
import contextlib
import contextvars

_ENABLED = contextvars.ContextVar('cpu_forms_enabled', default=True)


def enabled() -> bool:
  """Whether layers traced in this context may use a form of this package.

  >>> enabled()
  True
  """
  return _ENABLED.get()


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
  """Layers traced in this context use their plain forms.

  Needed for programs that are exported, and for all derivatives but the first
  in reverse mode, which the CPU forms of convolution and max pooling lack. The
  results differ only by rounding.

  A form is chosen when a layer is traced. A function that `jax.jit` traced
  before keeps its form inside the context, and one traced inside keeps the
  plain form outside: so trace a new function (for example a new lambda) inside.

  >>> with switched_off():
  ...   enabled()
  False
  """
  token = _ENABLED.set(False)
  try:
    yield
  finally:
    _ENABLED.reset(token)
