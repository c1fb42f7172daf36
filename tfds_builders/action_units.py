"""Parses action units as coders write them, such as 'R12B+(4 or L10)'.

Every spreadsheet has its own notation, and each contains slips. The parser
takes what is certain and ignores the rest; records keep the raw text as well.
"""

import re
from typing import NamedTuple

# A letter before the unit gives its side, one after it its intensity. 'AU' may
# come first. A number of three digits or more is not a unit.
_UNIT = re.compile(
  r"""
  (?: (?<![A-Z]) (?:AU\s*)? (?P<side>[LRTBU]) )?
  (?<!\d) (?P<unit>\d{1,2}) (?!\d)
  (?P<intensity> [A-E](?![A-Z0-9]) (?: \s*/\s* [A-E](?![A-Z0-9]) )* )?
  """,
  re.VERBOSE | re.IGNORECASE | re.ASCII,
)


class ActionUnit(NamedTuple):
  """An action unit of the Facial Action Coding System.

  Attributes:
    unit: its number, 1..99.
    side: 'L' or 'R', the person's left or right; 'T' or 'B', top or bottom; 'U'
      for one unspecified side; '' if not coded.
    intensity: 'A' (trace) to 'E' (maximum); 'A/B' if the coder was in doubt; ''
      if not coded.
  """

  unit: int
  side: str = ''
  intensity: str = ''


def parse(text: str) -> list[ActionUnit]:
  """Action units in the order of the text, including alternatives.

  Text that is not an action unit is ignored; nothing raises.

  >>> [found.unit for found in parse('(R6 or R12)+43, soft focus')]
  [6, 12, 43]
  >>> parse('R7B')
  [ActionUnit(unit=7, side='R', intensity='B')]

  Args:
    text: the cell as text; '12' for the number 12.
  """
  return [
    ActionUnit(
      int(match['unit']),
      (match['side'] or '').upper(),
      re.sub(r'\s', '', match['intensity'] or '').upper(),
    )
    for match in _UNIT.finditer(text)
    if int(match['unit'])
  ]
