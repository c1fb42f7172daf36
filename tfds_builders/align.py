"""The command `align`: draws clips before and after face alignment.

dianet align --dataset=casme2 --manual_dir=DIR --out=PNG
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import sys
from typing import Any

import cv2
from jaxtyping import UInt8
import numpy as np

from dianet_jax.clips import faces, images
from dianet_jax.core import errors
from tfds_builders import prepare, raw_folder, registry


def contact_sheet(
  records: Iterable[Mapping[str, Any]], size: int = 224
) -> tuple[UInt8[np.ndarray, 'height width 3'], list[tuple[str, str]]]:
  """Draws clips before and after alignment, one row per clip.

  Args:
    records: as for `faces.find_transforms`.
    size: side of the aligned images, pixels.

  Returns:
    An RGB image of 0..255 with four columns: the onset frame with the square
    that is kept; the aligned onset frame; the aligned apex frame; four times
    their difference, plus mid-grey. And (clip id, reason) for each clip without
    a face.
  """
  rows, left_out = [], []
  for record in records:
    onset = images.load(record['frames'][record['onset']])
    scale = size / max(onset.shape[:2])
    cells = np.zeros((size, 4, size, 3), np.uint8)
    try:
      transform = faces.find_transform(onset, size)
    except faces.NoFaceError as error:
      left_out.append((record['clip_id'], str(error)))
      marked = onset
    else:
      apex = images.load(record['frames'][record['apex']])
      after = [faces.apply(frame, transform, size) for frame in (onset, apex)]
      difference = after[1].astype(np.int16) - after[0]
      cells[:, 1], cells[:, 2] = after
      cells[:, 3] = np.clip(127 + 4 * difference, 0, 255)
      corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], float)
      back = cv2.invertAffineTransform(transform)
      square = np.round(cv2.transform(corners[None], back)).astype(np.int32)
      thick = max(1, round(2 / scale))
      marked = cv2.polylines(onset, square, True, (0, 255, 0), thick)
    small = cv2.resize(
      marked, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    cells[: small.shape[0], 0, : small.shape[1]] = small[:size, :size]
    rows.append(cells.reshape(size, 4 * size, 3))
  return np.concatenate(rows), left_out


def main(arguments: Sequence[str]) -> None:
  """Writes a contact sheet of clips before and after alignment.

  Args:
    arguments: those of the command line, without the program.

  Raises:
    SystemExit: with the message of an `errors.UserError`.
  """
  parser = argparse.ArgumentParser(
    prog='dianet align',
    description='Draws frames of some clips before and after face alignment.',
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  parser.add_argument(
    '--dataset', required=True, help=f'one of {", ".join(registry.names())}'
  )
  parser.add_argument(
    '--manual_dir', required=True, help='folder of the raw data set'
  )
  parser.add_argument(
    '--variant',
    default='',
    help='variant of the layout, if the data set has several',
  )
  parser.add_argument('--out', required=True, help='PNG file to write')
  parser.add_argument(
    '--clips',
    type=int,
    default=8,
    help='number of clips, spread evenly over the data set',
  )
  parser.add_argument(
    '--size', type=int, default=224, help='side of the aligned images in pixels'
  )
  options = parser.parse_args(arguments)
  if options.clips < 1 or options.size < 8:
    parser.error('--clips must be at least 1 and --size at least 8')
  try:
    builder_cls = prepare.builder_class(options.dataset, options.variant)
    if builder_cls.FACTS.stored:
      raise errors.UserError(
        f'{options.dataset} contains images, no frames to align.'
      )
    found = builder_cls.find(options.manual_dir, options.variant)
    step = max(1, len(found.clips) // options.clips)
    chosen = found.clips[::step][: options.clips]
    checked = raw_folder.check(
      builder_cls.FACTS.guide,
      dataclasses.replace(found, clips=chosen),
      skip_bad_clips=True,
    )
    sheet, left_out = contact_sheet(checked.records, options.size)
  except errors.UserError as error:
    sys.exit(f'error: {error}')
  if not options.out.casefold().endswith('.png') or not cv2.imwrite(
    options.out, sheet[..., ::-1]
  ):
    sys.exit(f'error: {options.out} cannot be written: expected a .png file.')
  for clip_id, why in checked.left_out + left_out:
    print(f'{clip_id}: {why}')
  print(
    f'{options.out}: {len(checked.records)} of {len(found.clips)} clips, one '
    'row each; from the left: onset frame with the square that is kept, '
    'aligned onset, aligned apex, their difference times 4'
  )
