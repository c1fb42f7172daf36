"""Edits of flow images and of their list."""

import csv
import os

from hypothesis import strategies as st

from tests.support import planted_trees, tree_edits, tree_strategies


def _list(tree):
  return tree.sheets['list']


@tree_edits.edit(of_clip=False, fits=tree_edits.is_flow)
def list_in_another_dialect(draw, tree):
  """Line ends, encoding and quotes as spreadsheet programs write them."""
  _list(tree).newline = draw(st.sampled_from(['\n', '\r\n']))
  _list(tree).encoding = draw(st.sampled_from(['utf-8', 'utf-8-sig']))
  _list(tree).quoting = draw(
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
  )


@tree_edits.edit(of_clip=False, fits=tree_edits.is_flow)
def list_that_cannot_be_read(draw, tree):
  """A delimiter or an encoding that the reader does not support."""
  field, value = draw(
    st.sampled_from(
      [('delimiter', ';'), ('delimiter', '\t'), ('encoding', 'utf-16')]
    )
  )
  setattr(_list(tree), field, value)
  tree.may_be_refused('.csv')


@tree_edits.edit(of_clip=False, fits=tree_edits.is_flow)
def more_in_the_list(draw, tree):
  """Columns and rows without content."""
  _list(tree).columns = [*_list(tree).columns, 'sub_filename', '']
  _list(tree).rows = [*_list(tree).rows, {}, {}]


@tree_edits.edit(of_clip=False, fits=tree_edits.is_flow)
def another_list(draw, tree):
  """A .csv file that is not the list of flow images."""
  tree.files[draw(st.sampled_from(['a.csv', 'zz/z.csv']))] = draw(
    st.sampled_from([b'', b'dataset,sub\n1,2\n', b'\xff\xfe\x00', b'"' * 9])
  )


@tree_edits.edit(of_clip=False, fits=tree_edits.is_flow)
def a_list_that_contradicts(draw, tree):
  """A second copy of the list, with other labels."""
  rows = [row | {'label': '2'} for row in _list(tree).rows]
  other = planted_trees.List('a (1).csv', tree_strategies.FLOW_COLUMNS, rows)
  tree.files[other.path] = other.content()
  tree.may_be_refused('.csv')


@tree_edits.edit(of_clip=True, fits=tree_edits.is_flow)
def garbage_in_the_list(draw, tree, clip):
  """A cell that is not a data set, subject or label."""
  field = draw(st.sampled_from(['dataset', 'sub', 'label']))
  clip.cells[field] = draw(
    st.sampled_from(['', ' ', '-1', '3', 'x', '1.5', '\uff11', 'NaN', '[b]'])
  )
  tree.done.append(f'{field} = {clip.cells[field]!r}')
  if (field, clip.cells[field]) == ('sub', '3'):
    # Another subject: without pictures, unless it is the same.
    clip.cells[field] = '77'
  tree.must_be_refused('.csv', clip.name)


@tree_edits.edit(of_clip=True, fits=tree_edits.is_flow)
def clip_listed_twice(draw, tree, clip):
  """A clip has two rows, with the same label or another."""
  _list(tree).rows.append(clip.cells | {'label': draw(st.sampled_from('012'))})
  tree.must_be_refused('.csv')


@tree_edits.edit(of_clip=True, fits=tree_edits.is_flow)
def clip_not_listed(draw, tree, clip):
  """A clip has images but no row."""
  _list(tree).rows.remove(clip.cells)
  tree.clips.remove(clip)


@tree_edits.edit(of_clip=True, fits=tree_edits.is_flow)
def a_flow_image_missing(draw, tree, clip):
  """The image of one phase is missing."""
  path = clip.paths[draw(st.sampled_from([0, 1]))]
  del tree.files[path]
  tree.must_be_refused(clip.name)


@tree_edits.edit(of_clip=True, fits=tree_edits.is_flow)
def a_damaged_flow_image(draw, tree, clip):
  """An image has a flipped bit, or is truncated or empty."""
  path = clip.paths[draw(st.sampled_from([0, 1]))]
  data = bytearray(tree.files[path])
  at = draw(st.integers(0, len(data) - 1))
  kind = draw(st.sampled_from(['flipped', 'cut', 'empty']))
  tree.done.append(f'{path} {kind} at {at} of {len(data)}')
  if kind == 'flipped':
    data[at] ^= 1 << draw(st.integers(0, 7))
  else:
    del data[at if kind == 'cut' else 0 :]
  tree.files[path] = bytes(data)
  tree.may_be_refused(os.path.basename(path))


@tree_edits.edit(of_clip=True, fits=tree_edits.is_flow)
def a_deeper_flow_image(draw, tree, clip):
  """A deeper image of the same name has other pixels; the upper one is read."""
  path = clip.paths[draw(st.sampled_from([0, 1]))]
  other = tree_strategies.encode(tree_strategies.picture(99, 7), 'png')
  tree.files[f'zz/zz/zz/zz/{os.path.basename(path)}'] = other
  tree.may_be_refused(os.path.basename(path))


@tree_edits.edit(of_clip=True, fits=tree_edits.is_flow)
def the_flow_of_another_subject(draw, tree, clip):
  """The images of one subject occur under another subject's name."""
  other = tree.spared
  if (other.part, other.subject) == (clip.part, clip.subject):
    return
  for phase, path in clip.paths.items():
    tree.files[path] = tree.files[other.paths[phase]]
  tree.must_be_refused(clip.name, other.name)
