"""Edits of folders, and strays anywhere."""

import os
import shutil

from hypothesis import strategies as st

from tests.support import tree_edits, tree_strategies


def _move(tree, old: str, new: str) -> None:
  """Moves the files below a folder."""
  for path in [p for p in tree.files if p.startswith(f'{old}/')]:
    tree.files[new + path.removeprefix(old)] = tree.files.pop(path)
  for clip in tree.clips:
    if clip.folder == old:
      clip.folder = new
      clip.paths = {
        number: new + path.removeprefix(old)
        for number, path in clip.paths.items()
      }


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def folder_in_other_case(draw, tree, clip):
  """A folder's name is in another case, as on some file systems."""
  parts = clip.folder.split('/')
  at = draw(st.integers(max(0, len(parts) - 3), len(parts) - 1))
  parts[at] = draw(st.sampled_from([str.upper, str.lower]))(parts[at])
  _move(tree, clip.folder, '/'.join(parts))


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def a_linked_folder(draw, tree, clip):
  """A folder is a link to another disk."""
  folder = clip.folder

  def link(root):
    there = root / folder
    if there.is_dir() and not there.is_symlink():
      disk = root.with_name(f'disk{len(list(root.parent.iterdir()))}')
      shutil.move(there, disk)
      there.symlink_to(disk)

  tree.finish.append(link)


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def a_deeper_copy_of_a_clip(draw, tree, clip):
  """A deeper copy of a clip has other pixels; the upper one is read."""
  other = tree_strategies.encode(tree_strategies.picture(99, 3), 'png')
  top = clip.folder.split('/')[0]
  for path in clip.paths.values():
    stem = os.path.splitext(path.removeprefix(f'{top}/'))[0]
    tree.files[f'zz/zz/zz/{top}/{stem}.png'] = other
  tree.may_be_refused(clip.name)


# Where other pictures of the same clips lie, which are not to be read.
_ELSEWHERE = {
  'casme2': ('Cropped/', ('CASME2-RAW', 'CASME2_RAW_selected')),
  'samm': ('SAMM_CROP/', ('SAMM', 'SAMM_raw')),
  'mmew': ('Micro_Expression/', ('Macro_Expression', 'Macro')),
  'smic': ('SMIC_all_cropped/', ('SMIC_all_raw',)),
  'casme3': ('color', ('depth',)),
}


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def another_variant(draw, tree, clip):
  """Another variant of the clip has other pixels; the preferred one is read."""
  here, there = _ELSEWHERE[clip.part]
  if here not in clip.folder:
    return
  other = tree_strategies.encode(tree_strategies.picture(99, 4), 'png')
  folder = draw(st.sampled_from(there))
  for path in clip.paths.values():
    stem = os.path.splitext(path)[0]
    elsewhere = stem.replace(here.rstrip('/'), folder)
    tree.files[f'{elsewhere}.png'] = other


@tree_edits.edit(of_clip=True, fits=tree_edits.has_sheet)
def in_another_variant_alone(draw, tree, clip):
  """One clip exists only in another variant; variants are never mixed."""
  here, there = _ELSEWHERE[clip.part]
  others = [c for c in tree.clips if c.part == clip.part and c is not clip]
  if here not in clip.folder or not any(
    path in tree.files for c in others for path in c.paths.values()
  ):
    return
  folder = clip.folder.replace(here.rstrip('/'), draw(st.sampled_from(there)))
  _move(tree, clip.folder, folder)
  tree.must_be_refused(clip.name)


@tree_edits.edit(of_clip=False, fits=lambda tree: tree.dataset == 'smic')
def the_slower_cameras(draw, tree):
  """SMIC's slower cameras have clips of the same subjects and names."""
  other = tree_strategies.encode(tree_strategies.picture(99, 5), 'bmp')
  for camera in draw(st.sampled_from([['VIS'], ['NIR', 'VIS'], ['nir']])):
    for clip in list(tree.clips):
      folder = clip.folder.replace('HS/', f'{camera}/')
      tree.files[f'{folder}/image1.bmp'] = other
      tree.files[f'{folder}/image2.bmp'] = other


@tree_edits.edit(of_clip=False, fits=lambda tree: True)
def strays_anywhere(draw, tree):
  """Files that do not belong to the data set, in any folder."""
  folders = sorted({os.path.dirname(path) for path in tree.files})
  above = sorted({os.path.dirname(folder) for folder in folders} | {''})
  image = tree_strategies.encode(tree_strategies.picture(99, 6), 'jpg')
  for name in draw(
    st.lists(
      st.sampled_from(
        ['Thumbs.db', 'desktop.ini', '.DS_Store', 'readme.txt', 'preview.jpg',
         'list.zip', '__MACOSX/._x.jpg', 'paper.pdf', '10.jpg', 'zz/1/2/3.jpg',
         'zz/EP99_99/img1.jpg', 'zz/s9/x/s9_ne_01/1.jpg', 'a\u00e9 [b]/1.png']
      ),
      min_size=1, max_size=4, unique=True,
    )
  ):  # fmt: skip
    path = os.path.join(draw(st.sampled_from(above)), name)
    tree.done.append(path)
    tree.files.setdefault(path, image)


@tree_edits.edit(of_clip=False, fits=tree_edits.has_frames)
def everything_deeper(draw, tree):
  """The data set is one or two folders deeper."""
  above = draw(st.sampled_from(['x/', 'My Data (new)/x/', '\u4e2d\u6587/']))
  tree.files = {above + path: data for path, data in tree.files.items()}
  for sheet in tree.sheets.values():
    sheet.path = above + sheet.path
  for clip in tree.clips:
    clip.folder = above + clip.folder
    clip.paths = {n: above + path for n, path in clip.paths.items()}
