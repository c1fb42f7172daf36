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
  """What is to be shown.

  Attributes:
    title: one line.
    header: names of the columns.
    rows: cells; a cell may have several lines.
  """

  title: str
  header: Sequence[str]
  rows: Sequence[Sequence[str]]


def number(value: float, sign: str = '') -> str:
  """Three digits; `sign` is '+' for differences."""
  # Rounded first, and 0 added: no -0.000.
  return f'{round(value, 3) + 0.0:{sign}.3f}'


def interval(bounds: Sequence[float] | None, sign: str = '') -> str:
  """'low to high', each as `number`; None is of a single subject."""
  if bounds is None:
    return 'one subject'
  return ' to '.join(number(value, sign) for value in bounds)


def p_value(value: float) -> str:
  """Three digits, or that it is below them."""
  return '<0.001' if value < 0.001 else f'{value:.3f}'


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]):
  """A table for a rich console: the first column left, the others right."""
  table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1))
  for index, name in enumerate(header):
    # Names come from files: no character of theirs is markup.
    table.add_column(rich.text.Text(name), justify='right' if index else 'left')
  for row in rows:
    table.add_row(*map(rich.text.Text, row))
  return table


def _text(tables: Sequence[Table], notes: Sequence[str]) -> str:
  file = io.StringIO()
  # As wide as it must be: a table folded in the middle can't be read.
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
  """Text in one line of Markdown, none of its characters a mark."""
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
  """A line of the table for every line of the tallest cell."""
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
  # A row that begins with one would be taken for the option of \\.
  **{character: f'{{{character}}}' for character in '[]'},
}


def _escape_latex(text: str) -> str:
  escaped = ''.join(_LATEX.get(character, character) for character in text)
  # A minus, not a hyphen.
  return re.sub(r'(?<![\w-])[-+](?=\d)', lambda sign: f'${sign[0]}$', escaped)


_FORMATS: dict[str, Callable[[Sequence[Table], Sequence[str]], str]] = {
  'text': _text,
  'markdown': _markdown,
  'latex': _latex,
}


def render(
  tables: Sequence[Table], notes: Sequence[str], format_: str = 'text'
) -> str:
  """`tables` below each other, `notes` at the end, as one text.

  Args:
    tables: what to show.
    notes: sentences.
    format_: 'text', 'markdown' or 'latex' (needs the package booktabs).
  """
  return _FORMATS[format_](tables, notes)
