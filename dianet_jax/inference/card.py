"""The model card of a bundle: training data, results, limits, misuse."""

import json
from typing import Any

import jinja2

from dianet_jax.core import escape


def text(bundle: Any, parameters: int) -> str:
  """The card in Markdown, with the front matter that model hubs read.

  Args:
    bundle: a `bundle.Bundle` with `facts` as `experiments.export` writes them.
    parameters: number of parameters of one network.

  >>> import dianet_jax
  >>> card = text(dianet_jax.load_bundle(), parameters=64_000)
  >>> '64,000 parameters each' in card
  True
  """
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('dianet_jax.inference', ''),
    # The output is Markdown; names from files are escaped by `finalize`.
    autoescape=False,
    finalize=lambda v: escape.shown(v) if type(v) is str else v,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
  )
  # JSON is valid YAML, so any name stays one value.
  environment.filters['yaml'] = lambda value: json.dumps(value)
  environment.filters['span'] = _span
  return environment.get_template('card.md.j2').render(
    bundle=bundle,
    parameters=parameters,
    training=bundle.facts['training'],
    result=bundle.facts['result'],
    calibration=bundle.calibration,
  )


def _span(bounds: Any) -> str:
  return '{:.3f} to {:.3f}'.format(*bounds) if bounds else ''
