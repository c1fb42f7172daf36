"""Tables in every format, with names that need escaping."""

import re

import pytest

from dianet_jax.evaluation import tables

HOSTILE = r'a|b_c & 50% $x$ #1 {y} [z] ~^ \n* <b> "q"'
TABLE = tables.Table(
  'title & more_of it',
  ['run', HOSTILE, 'UF1'],
  [['lr_0.1', '±1', '0.747 ± 0.009\n0.6 to 0.8'], ['b', HOSTILE, '-0.1']],
)


def test_text_has_every_line_of_a_cell_and_no_trailing_space():
  text = tables.render([TABLE, TABLE], ['A note.'])
  lines = text.splitlines()
  assert lines[0] == TABLE.title and lines[-1] == 'A note.'
  assert text.count(HOSTILE) == 4 and text.count('0.6 to 0.8') == 2
  assert all(line == line.rstrip() for line in lines)
  first = next(line for line in lines if '0.747' in line)
  below = lines[lines.index(first) + 1]
  assert len(below) == len(first) and below.strip() == '0.6 to 0.8'


def test_markup_of_the_console_is_not_read():
  name = '[red]run[/red] :smile: [/]'
  assert name in tables.render([tables.Table('', ['run'], [[name]])], [])


def test_markdown_has_as_many_columns_as_the_header():
  text = tables.render([TABLE], ['A * note.'], 'markdown')
  title, table, note = text.split('\n\n')
  assert title == r'title & more\_of it' and note == r'A \* note.'
  lines = table.splitlines()
  assert len(lines) == 2 + len(TABLE.rows)
  for line in lines:
    assert len(re.findall(r'(?<!\\)\|', line)) == len(TABLE.header) + 1
  assert '| 0.747 ± 0.009 0.6 to 0.8 |' in table
  assert lines[1] == '|---|---:|---:|'


def test_latex_has_as_many_columns_as_the_header():
  text = tables.render([TABLE], ['5 % of it'], 'latex')
  assert text.isascii() and text.endswith(r'5 \% of it')
  assert r'\begin{tabular}{lrr}' in text and r'lr\_0.1' in text
  body = text[text.index(r'\toprule') : text.index(r'\bottomrule')]
  rows = [line for line in body.splitlines() if line.endswith(r' \\')]
  # Header, a row of two lines, a row of one.
  assert len(rows) == 4
  assert all(len(re.findall(r'(?<!\\)&', row)) == 2 for row in rows)
  assert r'0.747 $\pm$ 0.009' in rows[1] and '0.6 to 0.8' in rows[2]
  assert '$-$0.1' in rows[3]


def test_latex_escapes_every_special_character():
  escaped = tables.render([TABLE], [], 'latex').split(r'\midrule')[1]
  escaped = escaped.split(r'\bottomrule')[0]
  # What is escaped or grouped, taken away; a row's own parts, too.
  plain = re.sub(r'\\text\w+\{\}|\\[&%$#_{}]|\$[-+<>|*]\$', '', escaped)
  plain = re.sub(r'\{[][]\}|\$\\pm\$| & | \\\\', '', plain)
  assert set(plain) & set('\\&%$#_{}~^<>|*[]') == set()


def test_latex_signs_are_math_only_before_numbers():
  table = tables.Table('', ['a-1', 'x'], [['run-2 - b', '+0.1 to -0.2']])
  text = tables.render([table], [], 'latex')
  assert 'a-1' in text and 'run-2 - b' in text
  assert '$+$0.1 to $-$0.2' in text


@pytest.mark.parametrize('format_', ['text', 'markdown', 'latex'])
def test_tables_without_notes(format_):
  text = tables.render([TABLE], [], format_)
  assert text and not text.endswith('\n\n')
