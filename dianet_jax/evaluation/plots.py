"""matplotlib with its default settings, imported only when something is drawn.

A user's matplotlibrc (`text.usetex` without LaTeX) or MPLBACKEND must neither
change nor break a report.
"""

from collections.abc import Iterator
import contextlib
import os
import sys
import types


def _import() -> types.ModuleType:
  if 'matplotlib' in sys.modules:
    return sys.modules['matplotlib']
  # matplotlib reads it once, on import, and fails on an unknown backend.
  named = os.environ.pop('MPLBACKEND', None)
  try:
    import matplotlib
  finally:
    if named is not None:
      os.environ['MPLBACKEND'] = named
  if named is not None:
    # Restore the user's backend for other code of this process.
    with contextlib.suppress(ValueError):
      matplotlib.rcParams['backend'] = named
  return matplotlib


@contextlib.contextmanager
def own_settings() -> Iterator[types.ModuleType]:
  """A context with matplotlib's defaults; yields `matplotlib.figure`.

  >>> with own_settings() as figure:
  ...   drawing = figure.Figure(figsize=(2, 1))
  >>> drawing.get_size_inches().tolist()
  [2.0, 1.0]
  """
  matplotlib = _import()
  from matplotlib import figure

  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    yield figure
