"""docs/configuration.md says what the code declares."""

import pathlib

from dianet_jax.experiments import configuration, reference

PAGE = pathlib.Path(__file__).parents[2] / 'docs/configuration.md'


def test_the_page_is_up_to_date():
  assert PAGE.read_text(encoding='utf-8') == reference.markdown(), (
    'python -m dianet_jax.experiments.reference > docs/configuration.md'
  )


def test_the_page_has_every_key_and_no_markup_from_a_text():
  page = reference.markdown()
  for key in configuration.all_keys(configuration.parse({})):
    # Each model and objective lists keys of its own.
    own = key.startswith(('model.', 'objective.'))
    rows = page.count(f'| `{key}` |')
    assert rows >= 1 if own else rows == 1, key
  assert '&lt;name>-&lt;hash' in page and '<' not in page
