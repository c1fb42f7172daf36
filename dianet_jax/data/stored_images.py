"""Reads images that a data set stores instead of frames."""

from typing import Any

import numpy as np

from dianet_jax.clips import images
from dianet_jax.core import config as configuration
from dianet_jax.core import errors
from dianet_jax.motion import registry as motion
from dianet_jax.motion.flow_and_positions import POSITION


def without_positions(record: dict[str, Any]) -> dict[str, Any]:
  """A record as it is for inputs that read no position images."""
  if 'positions' not in record:
    return record
  return {key: value for key, value in record.items() if key != 'positions'}


def read(
  records: list[dict[str, Any]], config: configuration.Data
) -> motion.ClipBatch:
  """A batch of the images in records of a data set that stores no frames.

  Args:
    records: of the clips.
    config: the `data` section.

  Returns:
    The images of the phases, and position images if all of the clips have them.

  Raises:
    UserError: images differ in size.
  """
  stored = {
    phase: [images.decode(record[phase]) for record in records]
    for phase in config.phases
  }
  if all(len(record.get('positions', ())) for record in records):
    for number, phase in enumerate(configuration.PHASES[:2]):
      stored[POSITION + phase] = [
        images.decode(record['positions'][number]) for record in records
      ]
  shapes = sorted({i.shape for phase in stored.values() for i in phase})
  if len(shapes) > 1:
    raise errors.UserError(
      f'The phase images in {config.manual_dir} have different sizes: {shapes}.'
      ' Expected one size.'
    )
  none = np.zeros(len(records), np.int32)
  arrays = {name: np.array(of_clips) for name, of_clips in stored.items()}
  return motion.ClipBatch(
    None, none, none, none, none, arrays, frame_shape=shapes[0]
  )
