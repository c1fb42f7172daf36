"""Renders pages from templates; all values are escaped.

A page extends `base.html.j2` (blocks `title` and `content`) and imports the
macros of `parts.html.j2`; both are in this package.
"""

from collections.abc import Iterator
import functools
import pathlib
from typing import Any

import jinja2
import numpy as np

from dianet_jax.core import escape


@functools.cache
def _environment(package: str) -> jinja2.Environment:
  places = dict.fromkeys((package, 'dianet_jax.core'))
  return jinja2.Environment(
    loader=jinja2.ChoiceLoader([jinja2.PackageLoader(p, '') for p in places]),
    autoescape=True,
    # Only plain text is escaped; our own markup is not.
    finalize=lambda v: escape.shown(v) if type(v) is str else v,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
  )


def template(package: str, name: str) -> jinja2.Template:
  """Loads a template of a package; undefined variables are errors.

  Args:
    package: such as 'dianet_jax.evaluation'; templates of `core` are found
      from every package.
    name: file name of the template.
  """
  return _environment(package).get_template(name)


def write(path: pathlib.Path, text: str) -> None:
  """Writes a page to a temporary file and renames it."""
  aside = path.with_suffix('.tmp')
  aside.write_text(text, encoding='utf-8')
  aside.replace(path)


def confusion_rows(
  counts: np.ndarray, classes: Any
) -> Iterator[tuple[str, list[tuple[int, float]], float | None]]:
  """Rows of the macro `confusion`.

  Args:
    counts: int [class, class], true classes leading.
    classes: their names.

  Yields:
    The class, each count with its share of the class, and the recall, which is
    None for a class without clips.
  """
  counts = np.asarray(counts)
  totals = counts.sum(axis=1)
  shares = counts / np.maximum(totals, 1)[:, None]
  for row, name in enumerate(classes):
    recall = float(shares[row, row]) if totals[row] else None
    yield name, list(zip(counts[row].tolist(), shares[row].tolist())), recall
