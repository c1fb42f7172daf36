"""Cases of a test that `pytest` leaves out and `pytest -m ''` runs."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow(*values: Any) -> list:
  """Each value as a case of `parametrize` that is marked slow."""
  return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def slow_but(values: Iterable[str], fast: Iterable[str]) -> list:
  """All values as cases, marked slow but for those that are `fast`."""
  fast = set(fast)
  return [value if value in fast else slow(value)[0] for value in values]
