"""Edits of the rows of a spreadsheet."""

import datetime

from hypothesis import strategies as st

from tests.support import tree_edits, tree_strategies

# What is neither a frame number nor a subject.
_GARBAGE = [
  'abc', -3, 14.5, True, '#REF!', '\uff11\uff10', '10-20', '1e2', '9' * 10,
  'x' * 200, datetime.datetime(2014, 5, 8), '=1+9', '1\u200b0', '1 0', '10\n11',
  '0x1f', '[b]',
]  # fmt: skip
_KEY_FRAMES = ('onset', 'apex', 'offset')


def _place(tree, clip) -> str:
  return tree.sheets[clip.part].stem


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def garbage_in_a_cell(draw, tree, clip):
  """A cell holds neither a number nor a subject."""
  field = draw(st.sampled_from(['subject', *_KEY_FRAMES]))
  value = draw(st.sampled_from(_GARBAGE))
  clip.cells[field] = value
  tree.done.append(f'{field} = {value!r}')
  # A number that is one, but not of any folder, is told of the clip.
  tree.must_be_refused(_place(tree, clip), clip.name)
  if field == 'apex' and value == '=1+9':
    # Reads as empty, and so as no apex.
    clip.apex, tree.must_fail = None, False


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def a_blank_cell(draw, tree, clip):
  """A cell is empty or blank."""
  field = draw(st.sampled_from(['subject', 'clip', 'emotion', *_KEY_FRAMES]))
  clip.cells[field] = draw(st.sampled_from([None, '', '  ', '\xa0']))
  tree.done.append(f'{field} is blank')
  if field == 'apex':
    clip.apex = None
  elif field == 'subject':
    # The clip's name may tell it.
    tree.may_be_refused(_place(tree, clip))
  else:
    tree.must_be_refused(_place(tree, clip))


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def no_apex(draw, tree, clip):
  """The apex is missing in a usual spelling, or outside the clip."""
  clip.cells['apex'] = draw(
    st.sampled_from(['/', '-', 'n/a', 'NaN', clip.offset + 50, 0])
  )
  clip.apex = None


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def row_missing(draw, tree, clip):
  """The clip is on disk and not annotated."""
  tree.sheets[clip.part].rows.remove(clip.cells)
  tree.clips.remove(clip)


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def row_repeated(draw, tree, clip):
  """The row occurs twice, perhaps in another spelling."""
  again = dict(clip.cells)
  if draw(st.booleans()):
    again['offset'] = tree_strategies.spelled(draw, clip.offset)
  tree.sheets[clip.part].rows.append(again)


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def row_contradicts(draw, tree, clip):
  """A second row of the clip has another emotion or apex."""
  field, value = draw(
    st.sampled_from([('emotion', 'otherwise'), ('apex', clip.offset)])
  )
  rows = tree.sheets[clip.part].rows
  at = draw(st.sampled_from([0, len(rows)]))
  rows.insert(at, clip.cells | {field: value})
  tree.must_be_refused(clip.name)


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def onset_after_offset(draw, tree, clip):
  """The cells of onset and offset are swapped."""
  clip.cells |= {
    'onset': clip.cells['offset'],
    'offset': clip.cells['onset'],
  }
  tree.must_be_refused(clip.name, _place(tree, clip))


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def another_clips_frames(draw, tree, clip):
  """The key frames are not among the frames on disk."""
  for field in _KEY_FRAMES:
    clip.cells[field] = getattr(clip, field) + 500
  tree.must_be_refused(clip.name, _place(tree, clip))


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def unknown_emotion(draw, tree, clip):
  """The emotion belongs to no class."""
  clip.emotion = draw(st.sampled_from(['happyness', 'n/a', '?', '3', 'Wut']))
  clip.cells['emotion'] = clip.emotion
  if tree.dataset == 'megc2019':
    tree.must_be_refused(clip.name)


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def name_in_other_case(draw, tree, clip):
  """The sheet and the folder spell the clip's name in different cases."""
  clip.cells['clip'] = clip.name.swapcase()


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def name_of_no_folder(draw, tree, clip):
  """The clip's name is mistyped: no folder has it."""
  name = clip.name + draw(st.sampled_from(['x', '_1', '/..', '*', '9']))
  clip.cells['clip'] = name
  tree.must_be_refused(name, _place(tree, clip))


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def another_subject(draw, tree, clip):
  """The subject and the clip's name, or its folder, contradict each other."""
  clip.cells['subject'] = clip.subject + 90
  tree.must_be_refused(clip.name, _place(tree, clip))
