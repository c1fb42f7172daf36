"""docs/models.md agrees with the registry and the committed results."""

import pathlib

import pytest

from benchmarks import models, published
from dianet_jax.models.registry import MODELS

PAGE = pathlib.Path(__file__).parents[2] / 'docs/models.md'


@pytest.mark.slow
def test_the_page_is_up_to_date():
  assert PAGE.read_text(encoding='utf-8') == models.markdown(), (
    'python -m benchmarks.models > docs/models.md'
  )


def test_every_model_of_the_registry_has_its_row():
  assert set(published.PUBLISHED) == set(MODELS)
  page = PAGE.read_text(encoding='utf-8')
  for name in MODELS:
    assert page.count(f'\n| `{name}` |') == page.count(f'### `{name}`\n') == 1


def test_parts_add_up():
  size, parts = models.layers('ststnet')
  assert size == sum(part[-1] for part in parts) == 1_683
  assert parts[0][:2] == ('convolution_1', '30 x 30 x 16')


def test_the_page_quotes_the_leaderboard():
  page = PAGE.read_text(encoding='utf-8')
  for row in models.kept():
    assert row['name'] in page
    if 'uf1' in row:
      assert f'| {row["name"]} | {row["uf1"]:.3f} ' in page


def test_every_system_has_a_control_with_permuted_labels():
  controls = {
    row['name'] for row in models.kept('zoo-demo-permuted') if 'folder' in row
  }
  common = {
    row['name']
    for row in models.kept('zoo-demo')
    if 'uf1' in row and 'own recipe' not in row['name']
  }
  designs = {name for name in common if name.startswith('DIANet, ')}
  assert common - designs <= controls
