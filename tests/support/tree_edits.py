"""Changes to raw trees, with what must be read from them then."""

from collections.abc import Callable
import dataclasses

from hypothesis import strategies as st

from tests.support import planted_trees, tree_strategies


@dataclasses.dataclass(frozen=True)
class Edit:
  """A change to a tree, or to one of its clips.

  Attributes:
    act: called with `draw`, the tree and, where `of_clip`, a clip of it.
    of_clip: no two of these are made to one clip.
    fits: whether it can be made to a tree (and a clip).
  """

  act: Callable[..., None]
  of_clip: bool
  fits: Callable[..., bool]


EDITS: dict[str, Edit] = {}


def edit(of_clip: bool, fits: Callable[..., bool]):
  """Registers a function by its name."""

  def register(act):
    name = act.__name__.replace('_', ' ')
    assert name not in EDITS
    EDITS[name] = Edit(act, of_clip, fits)
    return act

  return register


def has_frames(tree, clip=None) -> bool:
  """Whether clips are frames on disk."""
  del clip
  return tree.dataset != 'megc2019_flow'


def has_sheet(tree, clip=None) -> bool:
  """Whether a spreadsheet annotates the clip, or one of the tree's."""
  if not has_frames(tree):
    return False
  return clip.part in tree.sheets if clip else bool(tree.sheets)


def is_flow(tree, clip=None) -> bool:
  """Whether there are flow images and their list."""
  del clip
  return tree.dataset == 'megc2019_flow'


def draw_edits(draw: tree_strategies.Draw, tree: planted_trees.Tree) -> None:
  """Makes a few edits, none of them twice to a clip; one is left alone."""
  tree.spared, *clips = draw(st.permutations(tree.clips))
  names = sorted(EDITS)
  for name in draw(
    st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True)
  ):
    chosen = EDITS[name]
    if not chosen.of_clip:
      if chosen.fits(tree):
        tree.done.append(name)
        chosen.act(draw, tree)
      continue
    for clip in clips:
      if chosen.fits(tree, clip):
        tree.done.append(f'{name}: {clip.folder} {clip.name}')
        clips.remove(clip)
        must_fail = tree.must_fail
        wanted = tree_strategies.class_of(tree, clip) is not None
        chosen.act(draw, tree, clip)
        if not wanted and tree.dataset == 'megc2019':
          # What the composite leaves out may be damaged.
          tree.must_fail = must_fail
        break
