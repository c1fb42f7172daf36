"""Reads action units out of what a coder typed, such as 'R12B+(4 or L10)'.

Every spreadsheet has a notation of its own, and none is applied without slips.
The parser takes what is certain and drops the rest; a record keeps the raw text
beside it.
"""

import re
from typing import NamedTuple

# A letter before the unit says where, one after it how strong. 'AU' may come
# first. A number of three digits or more is no unit.
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
    side: 'L' and 'R' of the face filmed, 'T' and 'B' its top and bottom, 'U'
      one side without saying which; '' where nothing is said.
    intensity: 'A' (trace) to 'E' (maximum), 'A/B' where the coder was in
      doubt; '' where nothing is said.
  """

  unit: int
  side: str = ''
  intensity: str = ''


def parse(text: str) -> list[ActionUnit]:
  """Action units in the order of the text, alternatives and doubtful ones too.

  '(R6 or R12)+R15' gives 6, 12 and 15, each on the right; 'ref(7B)+43' gives 7
  with intensity B, and 43; '+soft focus' gives none. Never raises.

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
