"""Draws how one clip becomes its dynamic images.

python -m dianet_jax.evaluation.picture --config=configs/demo.py --out=clip.png
"""

import pathlib
import sys

from absl import app, flags
from matplotlib import figure
from ml_collections import config_flags
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, runtime
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.data import phase_images
from dianet_jax.motion import rank_pooling, scaling

_CONFIG = config_flags.DEFINE_config_file('config', 'configs/demo.py')
_CLIP = flags.DEFINE_integer('clip', 0, 'Which clip, in the order of records.')
_OUT = flags.DEFINE_string('out', 'clip.png', 'The picture.')

_FRAMES_SHOWN = 5


def draw(
  frames: np.ndarray,
  apex: int,
  weights: np.ndarray,
  images: np.ndarray,
  path: pathlib.Path,
) -> None:
  """Frames and rank-pooling weights above, dynamic images below.

  Args:
    frames: uint8 [frame, height, width, channel], onset to offset.
    apex: index of the apex frame.
    weights: float32 [phase, frame], of the frames in the dynamic images.
    images: float32 [phase, height, width, channel], onset-apex, apex-offset.
    path: of the picture.
  """
  last = len(frames) - 1
  shown = [0, apex // 2, apex, (apex + last) // 2, last]
  names = {0: 'onset', apex: 'apex', last: 'offset'}
  drawing = figure.Figure(figsize=(8.5, 5.6), layout='constrained', dpi=110)
  rows = drawing.subplot_mosaic(
    [
      [f'frame{i}' for i in range(_FRAMES_SHOWN)],
      ['weights'] * _FRAMES_SHOWN,
      ['image0', 'image0', '.', 'image1', 'image1'],
    ],
    height_ratios=(1, 0.75, 1.25),
  )
  for number, frame in enumerate(shown):
    rows[f'frame{number}'].imshow(frames[frame])
    label = names.get(frame, '')
    rows[f'frame{number}'].set_title(f'frame {frame} {label}', fontsize=9)
  colors = ('#1f4e79', '#b5651d')
  for phase, (first, end) in enumerate(((0, apex), (apex, last))):
    rows['weights'].plot(
      range(first, end + 1),
      weights[phase, first : end + 1],
      color=colors[phase],
      marker='.',
      linewidth=1,
    )
    axes = rows[f'image{phase}']
    axes.imshow(scaling.to_display(images[phase]))
    name = ('onset to apex', 'apex to offset')[phase]
    axes.set_title(f'dynamic image, {name}', fontsize=9, color=colors[phase])
  rows['weights'].axhline(0, color='#999', linewidth=0.5)
  rows['weights'].set_ylabel('weight of the frame', fontsize=8)
  rows['weights'].set_xlabel('frame', fontsize=8)
  rows['weights'].tick_params(labelsize=8)
  rows['weights'].spines[['top', 'right']].set_visible(False)
  for name, axes in rows.items():
    if name != 'weights':
      axes.set_axis_off()
  drawing.savefig(path)


def main(argv: list[str]) -> None:
  """Draws the clip that the flags name."""
  del argv
  try:
    _draw_clip(configuration.from_mapping(_CONFIG.value.to_dict()))
  except errors.UserError as error:
    sys.exit(f'error: {error}')


def _draw_clip(config: configuration.Config) -> None:
  runtime.configure(runtime.cache_dir(config.data.cache_dir))
  records = dataset_lib.open_records(config.data)
  number = len(records.source)
  if not 0 <= _CLIP.value < number:
    raise errors.UserError(
      f'--clip={_CLIP.value}: there are clips 0 to {number - 1}.'
    )
  record = records.source[_CLIP.value]
  if 'frames' not in record:
    raise errors.UserError(
      f'--config.data.dataset={config.data.dataset} has no frames to draw.'
    )
  frames = phase_images.decode_clip(record['frames'], config.data)
  weights, images = pool(frames, record['apex'], config.data)
  draw(frames, record['apex'], weights, images, pathlib.Path(_OUT.value))
  print(f'{record["clip_id"].decode()}: {_OUT.value}')


def pool(
  frames: np.ndarray, apex: int, config: configuration.Data
) -> tuple[np.ndarray, np.ndarray]:
  """Weights and dynamic images, onset to apex and apex to offset.

  Args:
    frames: uint8 [frame, height, width, channel], onset to offset.
    apex: index of the apex frame.
    config: the `data` section; of it `coefficients` and `frame_order`.

  Returns:
    float32 [phase, frame]; float32 [phase, height, width, channel].
  """
  number = len(frames)
  options = {'kind': config.coefficients, 'order': config.frame_order}
  first, last = np.array([[[0, apex]], [[apex, number - 1]]])
  weights = rank_pooling.frame_weights(
    frames.reshape(1, number, -1), first, last, **options
  )
  keys = map(np.array, ([number], [0], [apex], [number - 1]))
  images = rank_pooling.dynamic_images(frames[None], *keys, **options)
  return np.asarray(weights[0]), np.asarray(images[0])


if __name__ == '__main__':
  app.run(main)
