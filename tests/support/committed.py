"""What must not be committed: large files, and images or films of people.

    python -m tests.support.committed FILE...

Frames of licensed data sets and faces belong in no repository. Every picture
that is kept is named here, after somebody looked at it.
"""

from collections.abc import Iterable
import pathlib
import sys

LARGEST_BYTES = 2_000_000
_IMAGES = {
  '.avi', '.bmp', '.gif', '.jpeg', '.jpg', '.mkv', '.mov', '.mp4', '.png',
  '.tif', '.tiff', '.webm', '.webp',
}  # fmt: skip
# Drawn faces and diagrams.
PICTURES = ('benchmarks/results/dynamic_images.png', 'docs/motion/*.png')


def faults(files: Iterable[str]) -> list[str]:
  """Why a file must not be committed, one text a fault.

  Args:
    files: paths from the root of the repository.
  """
  found = []
  for name in files:
    path = pathlib.PurePath(name)
    image = path.suffix.lower() in _IMAGES
    if image and not any(path.match(known) for known in PICTURES):
      found.append(
        f'{name}: an image. Faces and frames of licensed data are never'
        f' committed; a drawn one is named in {pathlib.Path(__file__).name}.'
      )
    file = pathlib.Path(name)
    if file.is_file() and file.stat().st_size > LARGEST_BYTES:
      found.append(f'{name}: larger than {LARGEST_BYTES:,} bytes.')
  return found


if __name__ == '__main__':
  wrong = faults(sys.argv[1:])
  print('\n'.join(wrong))
  sys.exit(bool(wrong))
