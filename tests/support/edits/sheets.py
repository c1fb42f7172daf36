"""Edits of a spreadsheet as a whole, and of others beside it."""

import dataclasses
import os

from hypothesis import strategies as st
import openpyxl

from tests.support import planted_trees, tree_edits


def _sheet(draw, tree):
  return tree.sheets[draw(st.sampled_from(sorted(tree.sheets)))]


def _book(rows, title='Sheet1') -> bytes:
  book = openpyxl.Workbook()
  book.active.title = title
  for row in rows:
    book.active.append(row)
  return planted_trees.save(book)


def _relabelled(sheet):
  """The same sheet with another emotion in every row."""
  rows = [row | {'emotion': 'surprise'} for row in sheet.rows]
  return dataclasses.replace(sheet, rows=rows)


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def columns_in_another_order(draw, tree):
  sheet = _sheet(draw, tree)
  sheet.columns = draw(st.permutations(sheet.columns))


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def more_columns(draw, tree):
  sheet = _sheet(draw, tree)
  for name in draw(
    st.lists(
      st.sampled_from(
        [None, 'Notes', 'Objective Classes', 'Duration', 'Micro', 'Gender', 7]
      ),
      min_size=1,
      max_size=3,
    )
  ):
    sheet.columns.insert(
      draw(st.integers(0, len(sheet.columns))), (name, 'nothing')
    )


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def rows_in_another_order(draw, tree):
  sheet = _sheet(draw, tree)
  sheet.rows = draw(st.permutations(sheet.rows))


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def remarks(draw, tree):
  sheet = _sheet(draw, tree)
  texts = st.sampled_from([[], ['A remark'], [None, 'Subject'], ['', 3]])
  sheet.above = draw(st.lists(texts, max_size=20))
  sheet.below = draw(st.lists(st.sampled_from([None, '*', ' ']), max_size=5))


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def blank_rows(draw, tree):
  sheet = _sheet(draw, tree)
  for _ in range(draw(st.integers(1, 3))):
    sheet.rows.insert(draw(st.integers(0, len(sheet.rows))), {})


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def other_sheets(draw, tree):
  """Other sheets without a table of clips."""
  sheet = _sheet(draw, tree)
  state = draw(st.sampled_from(['visible', 'hidden', 'veryHidden']))
  rows = draw(
    st.sampled_from([[], [['Legend']], [['Subject', 'Filename'], [1, 'x']]])
  )
  place = draw(st.sampled_from([sheet.before, sheet.after]))
  place.append(('Legend', rows, state))


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def a_sheet_that_contradicts(draw, tree):
  """A second table of the same clips, with other labels."""
  sheet = _sheet(draw, tree)
  state = draw(st.sampled_from(['hidden', 'veryHidden', 'visible']))
  place = draw(st.sampled_from([sheet.before, sheet.after]))
  place.append(('old', _relabelled(sheet).table(), state))
  tree.may_be_refused(sheet.stem)


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def merged_subjects(draw, tree):
  """Two rows of a subject share one cell."""
  sheet = _sheet(draw, tree)
  first, second = sheet.rows[:2] if len(sheet.rows) > 1 else ({}, {})
  clips = [c for c in tree.clips if c.cells in (first, second)]
  if len({clip.subject for clip in clips}) == 1 and len(clips) == 2:
    sheet.merge_subjects = True
    tree.may_be_refused(sheet.stem)


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def another_file_name(draw, tree):
  sheet = _sheet(draw, tree)
  stem = sheet.stem
  name = draw(
    st.sampled_from([f'{stem} v2.xlsx', f'{stem}.XLSX', stem.upper() + '.xlsx'])
  )
  sheet.path = os.path.join(os.path.dirname(sheet.path), name)


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def other_spreadsheets(draw, tree):
  """Other spreadsheets without a table of these clips."""
  sheet = _sheet(draw, tree)
  folder = draw(st.sampled_from([os.path.dirname(sheet.path), '', 'zz']))
  name, content = draw(
    st.sampled_from(
      [
        ('AAA.xlsx', _book([['Legend']])),
        (f'~${os.path.basename(sheet.path)}', b'lock'),
        ('broken.xlsx', b'PK\x03\x04 and no more'),
        ('empty.xlsx', b''),
        ('a.csv', b'Subject,Filename\n1,2\n'),
      ]
    )
  )
  tree.files[os.path.join(folder, name)] = content


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def a_deeper_spreadsheet_that_contradicts(draw, tree):
  """A deeper spreadsheet with other labels; the upper one is read."""
  sheet = _sheet(draw, tree)
  path = os.path.join(
    os.path.dirname(sheet.path), 'zz/old', os.path.basename(sheet.path)
  )
  tree.files[path] = _relabelled(sheet).content()
  tree.may_be_refused(sheet.stem)


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def a_copy_that_contradicts(draw, tree):
  """A second copy with other labels, named as by browsers and file managers."""
  sheet = _sheet(draw, tree)
  stem, suffix = os.path.splitext(sheet.path)
  mark = draw(st.sampled_from([' (1)', ' - Copy', '_old', '(1)', '.bak']))
  tree.files[stem + mark + suffix] = _relabelled(sheet).content()
  tree.may_be_refused(sheet.stem)


@tree_edits.edit(of_clip=False, fits=tree_edits.has_sheet)
def a_damaged_spreadsheet(draw, tree):
  """The spreadsheet of the expected name is damaged, whatever else there is."""
  sheet = _sheet(draw, tree)
  kind = draw(st.sampled_from(['cut', 'empty', 'text', 'zeroed', 'flipped']))
  share, bit = draw(st.floats(0, 0.999)), draw(st.integers(0, 7))

  def damage(root):
    content = bytearray((root / sheet.path).read_bytes())
    at = int(share * len(content))
    if kind == 'cut':
      del content[at:]
    elif kind == 'empty':
      content.clear()
    elif kind == 'text':
      content[:] = b'<html>404</html>'
    elif kind == 'zeroed':
      content[at : at + 200] = bytes(len(content[at : at + 200]))
    else:
      content[at] ^= 1 << bit
    (root / sheet.path).write_bytes(content)

  tree.finish.append(damage)
  tree.done.append(f'{kind} at {share}, bit {bit}')
  tree.may_be_refused(sheet.stem)
