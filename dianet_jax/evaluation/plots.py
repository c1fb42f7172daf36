"""matplotlib with settings of our own, imported when something is drawn.

A user's matplotlibrc (`text.usetex` without LaTeX) or MPLBACKEND must decide
neither how a page looks nor whether there is one.
"""

from collections.abc import Iterator
import contextlib
import os
import types


def _import() -> types.ModuleType:
  try:
    import matplotlib
  except ValueError:  # MPLBACKEND names nothing that matplotlib knows.
    named = os.environ.pop('MPLBACKEND', None)
    try:
      import matplotlib
    finally:
      if named is not None:
        os.environ['MPLBACKEND'] = named
  return matplotlib


@contextlib.contextmanager
def own_settings() -> Iterator[types.ModuleType]:
  """`matplotlib.figure`, and matplotlib's own defaults while it is used."""
  matplotlib = _import()
  from matplotlib import figure

  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    yield figure
