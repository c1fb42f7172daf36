"""Edits of single frames."""

import os

import cv2
from hypothesis import strategies as st
import numpy as np

from tests.support import planted_trees, tree_edits, tree_strategies


def _inside(draw, clip) -> int:
  """The number of a frame of the clip."""
  return draw(st.sampled_from(sorted(clip.images)))


def _say(tree, path, kind):
  tree.done.append(f'{path}: {kind}')


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def a_damaged_frame(draw, tree, clip):
  """Damage that can be detected in every format."""
  path = clip.paths[_inside(draw, clip)]
  data = tree.files[path]
  kind, content = draw(
    st.sampled_from(
      [
        ('cut', data[: len(data) // 2]),
        ('cut short', data[:30]),
        ('empty', b''),
        ('a web page', b'<html>404</html>'),
        ('no header', bytes(8) + data[8:]),
        ('zeroed', bytes(len(data))),
      ]
    )
  )
  _say(tree, path, kind)
  tree.files[path] = content
  tree.must_be_refused(os.path.basename(path))


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def a_flipped_bit(draw, tree, clip):
  """A flipped bit in a PNG, which has checksums; JPEG and BMP have none."""
  path = clip.paths[_inside(draw, clip)]
  data = bytearray(tree.files[path])
  if not data.startswith(b'\x89PNG'):
    return
  at = draw(st.integers(0, len(data) - 1))
  data[at] ^= 1 << draw(st.integers(0, 7))
  _say(tree, path, f'bit flipped in byte {at} of {len(data)}')
  tree.files[path] = bytes(data)
  tree.may_be_refused(os.path.basename(path))


def _drop(draw, tree, clip, number):
  """Removes a frame, or replaces it by something that is not a file."""
  path = clip.paths.pop(number)
  kind, content = draw(
    st.sampled_from(
      [
        ('gone', None),
        ('a folder', planted_trees.Folder()),
        ('a pipe', planted_trees.Pipe()),
        ('a broken link', planted_trees.Link('nowhere')),
      ]
    )
  )
  _say(tree, path, kind)
  tree.files.pop(path)
  if content is not None:
    tree.files[path] = content
  clip.images.pop(number, None)


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def a_frame_missing(draw, tree, clip):
  """A frame is missing; the clip consists of the others."""
  number = _inside(draw, clip)
  _drop(draw, tree, clip, number)
  if number == clip.apex or clip.apex not in sorted(clip.images)[1:-1]:
    clip.apex = None


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def no_frames(draw, tree, clip):
  """A clip's folder has no images, or is missing."""
  for number in list(clip.paths):
    tree.files.pop(clip.paths.pop(number))
  unreadable = draw(st.booleans())
  if unreadable:
    tree.files[f'{clip.folder}/readme.txt'] = b'empty'
  # Where no sheet lists the clips, their folders do.
  if clip.part in tree.sheets or unreadable:
    tree.must_be_refused(clip.name)
  else:
    # Nobody knows of it.
    tree.clips.remove(clip)


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def a_frame_of_another_kind(draw, tree, clip):
  """A frame is in another format."""
  number = _inside(draw, clip)
  kind = draw(st.sampled_from(['png', 'bmp', 'jpeg', 'JPG', 'rgba png']))
  image = clip.images[number]
  del tree.files[clip.paths[number]]
  stem = os.path.splitext(clip.paths[number])[0]
  clip.paths[number] = stem + tree_strategies.KINDS[kind]
  tree.files[clip.paths[number]] = tree_strategies.encode(image, kind)


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def frames_of_16_bits(draw, tree, clip):
  """Frames of 16 bits, with the same values or scaled."""
  scale = draw(st.sampled_from([1, 16, 257]))
  for number, image in clip.images.items():
    del tree.files[clip.paths[number]]
    path = os.path.splitext(clip.paths[number])[0] + '.png'
    clip.paths[number] = path
    data = cv2.imencode('.png', image[..., ::-1].astype(np.uint16) * scale)
    tree.files[path] = data[1].tobytes()
    tree.may_be_refused(os.path.basename(path))


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def strays_among_the_frames(draw, tree, clip):
  """Images among the frames that are not frames."""
  path = clip.paths[_inside(draw, clip)]
  folder, name = os.path.split(path)
  other = tree_strategies.encode(tree_strategies.picture(99, 1), 'jpg')
  for stray in draw(
    st.lists(
      st.sampled_from(
        ['Thumbs.db', 'desktop.ini', '.DS_Store', f'._{name}', f'.{name}',
         f'{name}.bak', f'{name}~', f'{name}.tmp', 'cover.jpg', 'notes.txt',
         f'thumbs/{name}', f'{name}.txt', 'video.avi', f'.thumbs/{name}']
      ),
      min_size=1, max_size=3, unique=True,
    )
  ):  # fmt: skip
    tree.files[f'{folder}/{stray}'] = other
    _say(tree, stray, 'added')


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def copies_among_the_frames(draw, tree, clip):
  """Second copies with other pixels, named as by file managers."""
  path = clip.paths[_inside(draw, clip)]
  stem, suffix = os.path.splitext(path)
  mark = draw(
    st.sampled_from([' (2)', ' (12)', ' - Copy', ' copy', '(1)', '_old', ' 2'])
  )
  other = tree_strategies.picture(99, 2)
  tree.files[stem + mark + suffix] = tree_strategies.encode(other, 'jpg')
  _say(tree, stem + mark + suffix, 'added')
  tree.may_be_refused(os.path.basename(stem), clip.name)


@tree_edits.edit(of_clip=True, fits=tree_edits.has_frames)
def the_frames_of_another_subject(draw, tree, clip):
  """A subject's frames occur under another name, so it would leak."""
  other = tree.spared
  if (
    (other.part, other.subject) == (clip.part, clip.subject)
    or len(other.images) != len(clip.images)
    or tree_strategies.class_of(tree, other) is None
  ):
    return
  for number, twin in zip(clip.images, other.images, strict=True):
    stem, _ = os.path.splitext(clip.paths[number])
    _, suffix = os.path.splitext(other.paths[twin])
    del tree.files[clip.paths[number]]
    clip.paths[number] = stem + suffix
    tree.files[clip.paths[number]] = tree.files[other.paths[twin]]
  tree.must_be_refused(clip.name, other.name)
