"""Pages made from templates, in which everything from outside is escaped."""

import jinja2

from dianet_jax.core import escape


def template(package: str, name: str) -> jinja2.Template:
  """A template of a package; a name that it lacks is an error.

  Args:
    package: such as 'dianet_jax.evaluation'.
    name: of the file in it.
  """
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader(package, ''),
    autoescape=True,
    # Markup of our own is no plain text.
    finalize=lambda v: escape.shown(v) if type(v) is str else v,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
  )
  return environment.get_template(name)
