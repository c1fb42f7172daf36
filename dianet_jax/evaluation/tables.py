"""Tables of results as text, Markdown and LaTeX."""

from collections.abc import Callable, Sequence
import dataclasses
import io
import re

import rich.box
import rich.console
import rich.table
import rich.text


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of texts.

  Attributes:
    title: one line.
    header: column names.
    rows: cells; a cell may have several lines.
  """

  title: str
  header: Sequence[str]
  rows: Sequence[Sequence[str]]


def number(value: float, sign: str = '') -> str:
  """A number with three digits after the point.

  Args:
    value: the number.
    sign: '+' to show the sign, for differences.

  >>> number(0.12345), number(0.12345, '+'), number(-0.0001)
  ('0.123', '+0.123', '0.000')
  """
  # Rounding first and adding 0 avoids '-0.000'.
  return f'{round(value, 3) + 0.0:{sign}.3f}'


def interval(bounds: Sequence[float] | None, sign: str = '') -> str:
  """The ends of an interval as text.

  Args:
    bounds: (low, high), or None for a single subject, which has no interval.
    sign: see `number`.

  >>> interval((0.25, 0.5)), interval(None)
  ('0.250 to 0.500', 'one subject')
  """
  if bounds is None:
    return 'one subject'
  return ' to '.join(number(value, sign) for value in bounds)


def p_value(value: float) -> str:
  """A p-value with three digits.

  >>> p_value(0.0312), p_value(0.0001)
  ('0.031', '<0.001')
  """
  return '<0.001' if value < 0.001 else f'{value:.3f}'


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]):
  """A rich table: the first column is left-aligned, the rest right-aligned.

  >>> grid(['run', 'UF1'], [['a', '0.500'], ['b', '0.400']]).row_count
  2
  """
  table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1))
  for index, name in enumerate(header):
    # `Text`, because names come from files and must not be parsed as markup.
    table.add_column(rich.text.Text(name), justify='right' if index else 'left')
  for row in rows:
    table.add_row(*map(rich.text.Text, row))
  return table


def _text(tables: Sequence[Table], notes: Sequence[str]) -> str:
  file = io.StringIO()
  # Wide enough that no table is wrapped, which would be unreadable.
  console = rich.console.Console(file=file, width=10_000)
  for table in tables:
    console.print(rich.text.Text(table.title))
    console.print(grid(table.header, table.rows))
  lines = [line.rstrip() for line in file.getvalue().splitlines()]
  return '\n'.join([*lines, *notes])


def _markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
  def line(cells):
    return f'| {" | ".join(escape_markdown(cell) for cell in cells)} |'

  blocks = []
  for table in tables:
    rule = '|---|' + '---:|' * (len(table.header) - 1)
    lines = [line(table.header), rule, *map(line, table.rows)]
    blocks += [escape_markdown(table.title), '\n'.join(lines)]
  return '\n\n'.join([*blocks, escape_markdown(' '.join(notes))]).rstrip()


def escape_markdown(text: str) -> str:
  r"""Escapes text for one line of Markdown.

  >>> print(escape_markdown('a|b *c*'))
  a\|b \*c\*
  """
  return re.sub(r'([\\`*_|<\[\]])', r'\\\1', ' '.join(text.split()))


def _latex(tables: Sequence[Table], notes: Sequence[str]) -> str:
  blocks = ['% \\usepackage{booktabs}']
  for table in tables:
    blocks.append(
      '\n'.join(
        [
          '\\begin{table}',
          '\\centering',
          f'\\caption{{{_escape_latex(table.title)}}}',
          f'\\begin{{tabular}}{{l{"r" * (len(table.header) - 1)}}}',
          '\\toprule',
          *_latex_lines(table.header),
          '\\midrule',
          *(line for row in table.rows for line in _latex_lines(row)),
          '\\bottomrule',
          '\\end{tabular}',
          '\\end{table}',
        ]
      )
    )
  return '\n\n'.join([*blocks, *(_escape_latex(note) for note in notes)])


def _latex_lines(row: Sequence[str]) -> list[str]:
  """One table line for every line of the tallest cell."""
  cells = [cell.splitlines() or [''] for cell in row]
  height = max(map(len, cells))
  return [
    ' & '.join(
      _escape_latex(cell[index]) if index < len(cell) else '' for cell in cells
    )
    + r' \\'
    for index in range(height)
  ]


_LATEX = {
  '\\': r'\textbackslash{}',
  '~': r'\textasciitilde{}',
  '^': r'\textasciicircum{}',
  '±': r'$\pm$',
  **{character: f'\\{character}' for character in '&%$#_{}'},
  **{character: f'${character}$' for character in '<>|*'},
  # At the start of a row it would be parsed as the option of \\.
  **{character: f'{{{character}}}' for character in '[]'},
}


def _escape_latex(text: str) -> str:
  escaped = ''.join(_LATEX.get(character, character) for character in text)
  # Math mode gives a minus instead of a hyphen.
  return re.sub(r'(?<![\w-])[-+](?=\d)', lambda sign: f'${sign[0]}$', escaped)


_FORMATS: dict[str, Callable[[Sequence[Table], Sequence[str]], str]] = {
  'text': _text,
  'markdown': _markdown,
  'latex': _latex,
}


def render(
  tables: Sequence[Table], notes: Sequence[str], format_: str = 'text'
) -> str:
  """Renders tables one below the other, followed by notes.

  Args:
    tables: tables to show.
    notes: sentences.
    format_: 'text', 'markdown' or 'latex' (needs the package booktabs).

  Returns:
    One text.

  >>> table = Table('UF1', ['run', 'value'], [['a', '0.5']])
  >>> print(render([table], [], 'markdown'))
  UF1
  <BLANKLINE>
  | run | value |
  |---|---:|
  | a | 0.5 |
  """
  return _FORMATS[format_](tables, notes)
