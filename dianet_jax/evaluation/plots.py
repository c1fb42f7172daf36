"""matplotlib with settings of our own, imported when something is drawn.

A user's matplotlibrc (`text.usetex` without LaTeX) or MPLBACKEND must decide
neither how a page looks nor whether there is one.
"""

from collections.abc import Iterator
import contextlib
import os
import sys
import types


def _import() -> types.ModuleType:
  if 'matplotlib' in sys.modules:
    return sys.modules['matplotlib']
  # It looks at it once, and does not start with a name that it does not know.
  named = os.environ.pop('MPLBACKEND', None)
  try:
    import matplotlib
  finally:
    if named is not None:
      os.environ['MPLBACKEND'] = named
  if named is not None:
    # For whatever else is drawn in this process.
    with contextlib.suppress(ValueError):
      matplotlib.rcParams['backend'] = named
  return matplotlib


@contextlib.contextmanager
def own_settings() -> Iterator[types.ModuleType]:
  """`matplotlib.figure`, and matplotlib's own defaults while it is used."""
  matplotlib = _import()
  from matplotlib import figure

  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    yield figure
