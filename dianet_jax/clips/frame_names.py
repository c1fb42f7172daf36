"""Which files of a folder are the frames of its clip, and in which order."""

from collections.abc import Iterable, Sequence
import re

# Marks that file managers and browsers add to the name of a copy.
_COPY = re.compile(
  r'\([0-9#]+\)|\bcopy\b|\bkopie\b|\bcopia\b|\bcopie\b|副本|\b(?:old|backup|bak)\b'
)
_MOST_DIGITS = 18
# If another series of files is larger than this fraction of the largest, it is
# unclear which one is the clip.
_RIVAL_SHARE = 0.5
_MOST_LISTED = 3


def is_copy(name: str) -> bool:
  """Whether a file is named like a copy.

  >>> is_copy('a (1).xlsx'), is_copy('a.xlsx')
  (True, False)
  """
  return bool(_COPY.search(name.casefold().replace('_', ' ')))


def frame_number(file_name: str) -> int | None:
  """The last digits before the suffix; None if there are none.

  >>> frame_number('reg_img46.jpg')
  46
  """
  series = _series(file_name)
  return series[1] if series else None


def _series(file_name: str) -> tuple[str, int] | None:
  """The name without its number, which all frames of a clip share; the number.

  ('reg_img#', 46) for 'reg_img46.jpg'; None for a name without digits.
  """
  stem = file_name.rsplit('.', 1)[0]
  match = re.fullmatch('(.*?)([0-9]+)([^0-9]*)', stem, re.DOTALL)
  if not match:
    return None
  return f'{match[1]}#{match[3]}'.casefold(), int(match[2])


def number_frames(file_names: Iterable[str]) -> dict[int, str]:
  """Frame number -> file name, in ascending order of the numbers.

  The names of a clip's frames differ only in the number. Of several series of
  names in a folder the largest is the clip; the other files, such as copies and
  previews, are not frames. Of two files with the same number, the one with the
  more frequent suffix is kept, then the first by name.

  >>> number_frames(['img2.jpg', 'img10.jpg', 'preview.jpg'])
  {2: 'img2.jpg', 10: 'img10.jpg'}

  Raises:
    ValueError: there are two series of similar size, or a number has more than
      18 digits.
  """
  names = sorted(file_names)
  series: dict[str, list[tuple[int, str]]] = {}
  for name in names:
    if found := _series(name):
      series.setdefault(found[0], []).append((found[1], name))
  if not series:
    return {}
  # A series of copies may be as large as that of the originals.
  order = sorted(series, key=lambda p: (-len(series[p]), is_copy(p), p))
  clip, *others = order
  rivals = [
    other
    for other in others
    if not is_copy(other)
    and len(series[other]) > max(1, _RIVAL_SHARE * len(series[clip]))
  ]
  if rivals:
    counts = [f'{len(series[p])} named {p!r}' for p in (clip, *rivals)]
    raise ValueError(
      f'holds several series of images: {", ".join(counts[:_MOST_LISTED])}. '
      'Keep the frames of the clip there and move the others out'
    )
  suffixes = [name.rsplit('.', 1)[-1].casefold() for _, name in series[clip]]
  frames: dict[int, str] = {}
  for number, name in sorted(
    series[clip],
    key=lambda f: -suffixes.count(f[1].rsplit('.', 1)[-1].casefold()),
  ):
    frames.setdefault(number, name)
  frames = dict(sorted(frames.items()))
  if frames and len(str(max(frames))) > _MOST_DIGITS:
    name = frames[max(frames)]
    raise ValueError(
      f'holds {name}: a number of more than {_MOST_DIGITS} digits, such as a '
      'time stamp, is not a frame number. Rename the frames to 1, 2, 3, ... in '
      'their order'
    )
  return frames


def note_strays(names: Sequence[str]) -> list[str]:
  """A note on images that are not named like the frames, if any.

  >>> note_strays(['1 (2).jpg'])
  ['1 image skipped, not named like the frames: 1 (2).jpg']
  """
  if not names:
    return []
  more = ', ...' if len(names) > _MOST_LISTED else ''
  plural = 's' if len(names) > 1 else ''
  return [
    f'{len(names)} image{plural} skipped, not named like the frames: '
    f'{", ".join(names[:_MOST_LISTED])}{more}'
  ]
