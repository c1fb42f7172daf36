"""Forms (implementations) of layers that XLA runs fast on a CPU.

Only `models.layers` uses them; `switched_off` disables all of them.

In: arrays. Out: the numbers of the plain forms, up to rounding.
May import: core.
"""

from collections.abc import Iterator
import contextlib
import contextvars
import enum


class _Forms(enum.Enum):
  ALL = 'all'
  FOR_ONE_CLIP = 'those that are fast for a single clip'
  NONE = 'none'


_FORMS = contextvars.ContextVar('cpu_forms', default=_Forms.ALL)


def enabled() -> bool:
  """Whether layers traced in this context may use a form of this package.

  >>> enabled()
  True
  """
  return _FORMS.get() is not _Forms.NONE


def for_batches() -> bool:
  """Whether they may use a form that is slow for a single clip.

  >>> for_batches()
  True
  """
  return _FORMS.get() is _Forms.ALL


@contextlib.contextmanager
def _only(forms: _Forms) -> Iterator[None]:
  token = _FORMS.set(forms)
  try:
    yield
  finally:
    _FORMS.reset(token)


def switched_off() -> contextlib.AbstractContextManager[None]:
  """Layers traced in this context use their plain forms.

  Needed for all derivatives but the first in reverse mode, which the CPU forms
  of convolution and max pooling lack. The results differ only by rounding.

  A form is chosen when a layer is traced. A function that `jax.jit` traced
  before keeps its form inside the context, and one traced inside keeps the
  plain form outside: so trace a new function (for example a new lambda) inside.

  >>> with switched_off():
  ...   enabled()
  False
  """
  return _only(_Forms.NONE)


def for_one_clip() -> contextlib.AbstractContextManager[None]:
  """Layers traced in this context use the forms that are fast for one clip.

  Convolutions of many channels then keep their plain form: transforming their
  kernels takes longer than it saves. Otherwise as `switched_off`.

  >>> with for_one_clip():
  ...   enabled(), for_batches()
  (True, False)
  """
  return _only(_Forms.FOR_ONE_CLIP)
