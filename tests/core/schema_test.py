"""Keys: declared once, read from nested values; invalid ones are named."""

import dataclasses
import math
from typing import ClassVar

import pytest

from dianet_jax.core import errors, schema


@dataclasses.dataclass(frozen=True)
class Inner:
  about: ClassVar[str] = 'no key'
  share: float = schema.key(0.5, 'A share.', schema.SHARE)
  names: tuple[str, ...] = schema.key((), 'Names.')


@dataclasses.dataclass(frozen=True)
class Kind:
  name: str = schema.key('', 'Which.')


@dataclasses.dataclass(frozen=True)
class Plain(Kind):
  name: str = 'plain'
  depth: int = schema.key(2, 'Depth.', schema.at_least(1))


@dataclasses.dataclass(frozen=True)
class Fancy(Kind):
  mode: str = schema.key('', 'Mode.', schema.one_of('', 'fast'))


@dataclasses.dataclass(frozen=True)
class Whole:
  size: float = schema.key(
    1.0, 'Size.', schema.Check(lambda value: value > 0, '> 0')
  )
  on: bool = schema.key(False, 'Whether.')
  inner: Inner = schema.section(Inner)
  kind: Kind = schema.section(Kind)


SECTIONS = {
  'kind': lambda name: {'': Plain, 'plain': Plain, 'fancy': Fancy}[name]
}


def parse(**values):
  return schema.parse(values, Whole, SECTIONS)


def test_missing_keys_take_defaults():
  assert parse() == Whole(kind=Plain())
  assert parse(kind={'depth': 3}) == Whole(kind=Plain(depth=3))
  assert parse(size=2, inner={'names': ['a']}) == Whole(
    2.0, inner=Inner(names=('a',)), kind=Plain()
  )


def test_the_name_of_a_section_chooses_its_keys():
  assert parse(kind={'name': 'fancy', 'mode': 'fast'}).kind == Fancy(
    'fancy', 'fast'
  )
  with pytest.raises(
    errors.UserError, match='kind.depth is not .*config.kind.mode'
  ):
    parse(kind={'name': 'fancy', 'depth': 3})


@pytest.mark.parametrize(
  'values,message',
  [
    ({'siz': 1.0}, 'config.siz is not .* nearest is --config.size'),
    ({'share': 1.0}, 'nearest is --config.inner.share'),
    ({'inner': {'about': 'x'}}, 'config.inner.about is not'),
    ({'inner': 3}, 'must be a section with the keys share, names'),
    ({'kind': 'plain'}, 'must be a section with the keys name, depth'),
    ({'kind': {'name': ['plain']}}, 'kind.name=.* is of type list'),
    ({'kind': {'depth': 0}}, 'kind.depth=0 is out of range: .* at least 1'),
    ({'kind': {'depth': True}}, 'is of type bool, expected int'),
    ({'size': '1'}, 'is of type str, expected float'),
    ({'size': False}, 'is of type bool, expected float'),
    ({'size': math.nan}, 'size=nan is out of range: expected a finite number'),
    ({'size': math.inf}, 'size=inf is out of range: expected a finite number'),
    ({'size': 10**400}, 'expected a finite number'),
    ({'size': 0}, 'expected > 0'),
    ({'on': 1}, 'expected bool'),
    ({'inner': {'share': 1.5}}, '0 to 1'),
    ({'inner': {'names': ('a\nb',)}}, r'names\[0\]=.* a control character'),
    ({'inner': {'names': 'a'}}, 'of type str, expected tuple'),
    ({'inner': {'names': ('a', 1)}}, r'inner.names\[1\]=1'),
    ({'kind': {'name': 'fancy', 'mode': 'x'}}, "one of '', fast"),
  ],
)
def test_mistakes_are_named(values, message):
  with pytest.raises(errors.UserError, match=message):
    parse(**values)


def test_all_keys_say_what_they_take():
  keys = schema.all_keys(parse())
  assert list(keys) == [
    'size', 'on', 'inner.share', 'inner.names', 'kind.name', 'kind.depth'
  ]  # fmt: skip
  # A subclass that only changes the default keeps the help.
  assert keys['kind.name'] == ('a text', 'plain', 'Which.')
  assert keys['on'] == ('true or false', False, 'Whether.')
  assert keys['kind.depth'].takes == 'a whole number'
  assert 'tuple' in keys['inner.names'].takes


def test_differences():
  one, other = (schema.to_dict(parse(inner={'share': s})) for s in (0, 1))
  assert schema.differences(one, other) == [
    '  inner.share: 0.0 there, 1.0 here'
  ]
