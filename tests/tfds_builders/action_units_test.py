"""Tests of the parser of action units."""

import re

import hypothesis
from hypothesis import strategies as st
import pytest

from tfds_builders import action_units

_AU = action_units.ActionUnit


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('', []),
    ('12', [_AU(12)]),
    ('AU4', [_AU(4)]),
    ('au l4 + AU 7', [_AU(4, 'L'), _AU(7)]),
    ('4+7+L10', [_AU(4), _AU(7), _AU(10, 'L')]),
    ('(R6 or R12)+R15', [_AU(6, 'R'), _AU(12, 'R'), _AU(15, 'R')]),
    ('ref(7B)+43', [_AU(7, '', 'B'), _AU(43)]),
    ('10A/B', [_AU(10, '', 'A/B')]),
    ('r10a / b', [_AU(10, 'R', 'A/B')]),
    ('T23', [_AU(23, 'T')]),
    ('14E+soft focus', [_AU(14, '', 'E')]),
    ('+soft focus', []),
    ('1+2+B25', [_AU(1), _AU(2), _AU(25, 'B')]),
    ('10A/B12', [_AU(10, '', 'A'), _AU(12, 'B')]),
    ('U14and 17or24', [_AU(14, 'U'), _AU(17), _AU(24)]),
    # Not one of the side letters, so the word is nobody's side.
    ('left12', [_AU(12)]),
    # Neither years nor a zero are units.
    ('2014 0', []),
    # Other scripts have digits, too.
    ('\u0664', []),
  ],
)
def test_forms_seen_in_spreadsheets(text, expected):
  assert action_units.parse(text) == expected


_UNITS = st.builds(
  _AU,
  st.integers(1, 99),
  st.sampled_from(['', *'LRTBU']),
  st.sampled_from(['', *'ABCDE', 'A/B', 'C/D/E']),
)
_JOINTS = st.sampled_from(
  ['+', ' + ', ' or ', '/ ', ', ', ')+(', ' and (', ';']
)


@hypothesis.given(
  st.lists(st.tuples(_UNITS, _JOINTS, st.sampled_from(['', 'AU', 'au']))),
  st.booleans(),
)
def test_round_trip_in_any_notation(parts, lower):
  text = ''.join(
    f'{prefix}{au.side}{au.unit}{au.intensity}{joint}'
    for au, joint, prefix in parts
  )
  parsed = action_units.parse(text.lower() if lower else text)
  assert parsed == [au for au, _, _ in parts]


@hypothesis.given(st.text() | st.text('0123456789LRTBUABCDEau+/() orf'))
def test_no_number_is_lost_in_any_text(text):
  numbers = [int(run) for run in re.findall('[0-9]+', text) if len(run) < 3]
  parsed = action_units.parse(text)
  assert [au.unit for au in parsed] == [n for n in numbers if n]
  for au in parsed:
    assert au.side in ('', *'LRTBU')
    assert re.fullmatch('([A-E](/[A-E])*)?', au.intensity)
