"""Small simulated raw data sets."""

import pathlib

from tfds_builders import manifest

SMALL = {
  'subjects': 2,
  'clips_per_subject': 5,
  'frame_height': 56,
  'frame_width': 46,
}


SHEETS = {
  'casme2': 'CASME2-coding-20140508.xlsx',
  'samm': 'SAMM_Micro_FACS_Codes_v2.xlsx',
  'mmew': 'MMEW_Micro_Exp.xlsx',
}


def contents(root: pathlib.Path) -> dict[str, bytes]:
  """File name -> content, without the manifest, which holds times."""
  return {
    path.relative_to(root).as_posix(): path.read_bytes()
    for path in root.rglob('*')
    if path.is_file() and path != root / manifest.NAME
  }
