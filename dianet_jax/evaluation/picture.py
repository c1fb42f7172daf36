"""Draws how one clip becomes its dynamic images.

dianet picture --config=configs/demo.py --clip=3 --out=clip.png
"""

import argparse
from collections.abc import Sequence
import os
import pathlib
import sys

from absl import flags
import jax.numpy as jnp
from jaxtyping import Float, UInt8
from ml_collections import config_flags
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, faults, runtime, schema
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.data import inputs
from dianet_jax.evaluation import plots
from dianet_jax.motion import rank_pooling, scaling
from dianet_jax.motion.dynamic_images import DYNAMIC_IMAGES
from dianet_jax.motion.registry import ClipBatch

_COLORS = ('#1f4e79', '#b5651d', '#4f7942')


def draw(
  frames: UInt8[np.ndarray, 'frame height width channel'],
  apex: int,
  phases: Sequence[str],
  weights: Float[np.ndarray, 'phase frame'],
  images: Float[np.ndarray, 'phase height width channel'],
  path: pathlib.Path,
) -> None:
  """Frames and rank-pooling weights above, dynamic images below.

  Args:
    frames: onset to offset.
    apex: index of the apex frame.
    phases: names, keys of `rank_pooling.PHASES`.
    weights: of the frames in the dynamic images.
    images: the dynamic images.
    path: of the picture; its suffix says the format.
  """
  with plots.own_settings() as figure:
    drawing = figure.Figure(figsize=(8.5, 5.6), layout='constrained', dpi=110)
    _fill(drawing, frames, apex, phases, weights, images)
    drawing.savefig(path)


def _fill(drawing, frames, apex, phases, weights, images) -> None:
  """Draws on a matplotlib figure; see `draw`."""
  last = len(frames) - 1
  keys = {'onset': 0, 'apex': apex, 'offset': last}
  names = {frame: name for name, frame in keys.items()}
  shown = [0, apex // 2, apex, (apex + last) // 2, last]
  top, middle, bottom = drawing.subfigures(3, height_ratios=(1, 0.75, 1.25))
  row = top.subplots(1, len(shown))
  for axes, frame in zip(row, shown):
    axes.imshow(frames[frame])
    axes.set_title(f'frame {frame} {names.get(frame, "")}', fontsize=9)
    axes.set_axis_off()
  curves = middle.subplots()
  row = bottom.subplots(1, len(phases), squeeze=False)[0]
  for axes, phase, weight, image, color in zip(
    row, phases, weights, images, _COLORS
  ):
    first, end = (keys[key] for key in rank_pooling.PHASES[phase])
    curves.plot(
      range(first, end + 1),
      weight[first : end + 1],
      color=color,
      marker='.',
      linewidth=1,
    )
    axes.imshow(scaling.to_display(image))
    title = f'dynamic image, {phase.replace("_", " to ")}'
    axes.set_title(title, fontsize=9, color=color)
    axes.set_axis_off()
  curves.axhline(0, color='#999', linewidth=0.5)
  curves.set_ylabel('weight of the frame', fontsize=8)
  curves.set_xlabel('frame', fontsize=8)
  curves.tick_params(labelsize=8)
  curves.spines[['top', 'right']].set_visible(False)


def _check_out(path: pathlib.Path) -> None:
  """Refuses a file that could not be written, before any work is done."""
  with plots.own_settings() as figure:
    formats = sorted(figure.Figure().canvas.get_supported_filetypes())
  if path.suffix[1:].lower() not in formats:
    raise errors.UserError(
      f'--out={path}: expected a file name that ends in one of'
      f' {", ".join(f".{name}" for name in formats)}.'
    )
  if path.is_dir() or not os.access(path.parent, os.W_OK):
    raise errors.UserError(
      f'--out={path}: {path.parent} is no folder that can be written, or there'
      ' is a folder of this name.'
    )


def pool(
  clips: ClipBatch, config: configuration.Data
) -> tuple[
  Float[np.ndarray, 'clip phase frame'],
  Float[np.ndarray, 'clip phase height width channel'],
]:
  """Weights of the frames, and the dynamic images as a run makes them.

  Args:
    clips: as of `inputs.read_clips`.
    config: the `data` section.
  """
  keys = {key: getattr(clips, key) for key in ('onset', 'apex', 'offset')}
  first, last = (
    jnp.stack([keys[rank_pooling.PHASES[p][end]] for p in config.phases], -1)
    for end in (0, 1)
  )
  weights = rank_pooling.frame_weights(
    clips.frames, first, last, config.coefficients, config.frame_order
  )
  return np.asarray(weights), np.asarray(DYNAMIC_IMAGES(clips, config))


def main(argv: Sequence[str] | None = None) -> None:
  """The command `dianet picture`.

  Args:
    argv: its arguments; those of the process by default.

  Raises:
    errors.UserError: a wrong configuration or clip, or a data set without
      frames.
  """
  parser = argparse.ArgumentParser(
    prog='dianet picture',
    description='Draws how a clip becomes the dynamic images of a run.',
    epilog='--config.KEY=VALUE sets a key of the configuration, for instance'
    ' --config.data.align=true.',
  )
  parser.add_argument(
    '--config', default='configs/demo.py', help='a file of configs/[:model]'
  )
  parser.add_argument(
    '--clip', type=int, default=0, help='which, in the order of the records'
  )
  parser.add_argument('--out', default='clip.png', help='the picture')
  options, rest = parser.parse_known_args(argv)
  if wrong := [x for x in rest if not x.startswith('--config.')]:
    parser.error(f'unrecognized arguments: {" ".join(wrong)}')
  path = pathlib.Path(options.out)
  _check_out(path)
  config = _data(options.config, rest)
  clip_id, frames, apex, weights, images = _read(config, options.clip)
  draw(frames, apex, config.phases, weights, images, path)
  print(f'{clip_id}: {path}')


def _data(path: str, overrides: Sequence[str]) -> configuration.Data:
  """The `data` section of a configuration file."""
  file = pathlib.Path(path.split(':')[0])
  if not file.is_file():
    raise errors.UserError(f'--config={path} is no file.')
  # Configurations import their neighbours as `configs`, from beside their
  # folder. Last, so that no file there hides a module.
  sys.path.append(str(file.resolve().parent.parent))
  known = schema.all_keys(configuration.Config())
  for option in overrides:
    key = option.partition('=')[0].removeprefix('--config.')
    if key.startswith('data.') and key not in known:
      raise errors.UserError(schema.unknown_key(key, known))
  argv = ['dianet picture', f'--config={path}', *overrides]
  values = flags.FlagValues()
  holder = config_flags.DEFINE_config_file(
    'config', flag_values=values, sys_argv=argv
  )
  try:
    values(argv)
    data = holder.value.data.to_dict()
  except errors.UserError:
    raise
  except Exception as error:  # A configuration file may raise anything.
    raise errors.UserError(
      f'--config={path}: {faults.one_line(error)}'
    ) from error
  return schema.parse({'data': data}, configuration.Config, {}).data


def _read(config: configuration.Data, clip: int):
  """A clip's name, frames and apex, its weights and dynamic images."""
  runtime.configure(runtime.cache_dir(config.cache_dir))
  runtime.require_devices()
  records = dataset_lib.open_records(config)
  number = len(records.source)
  if not 0 <= clip < number:
    raise errors.UserError(f'--clip={clip}: there are clips 0 to {number - 1}.')
  record = records.source[clip]
  name = record['clip_id'].decode()
  transforms, faceless = dataset_lib.find_transforms(
    records.source, [clip], config
  )
  if faceless:
    raise errors.UserError(f'--clip={clip}: {name}: {faceless[0][1]}')
  clips = inputs.read_clips([record], config, transforms)
  if clips.frames is None:
    raise errors.UserError(
      f'--config.data.dataset={config.dataset} has no frames to draw.'
    )
  weights, images = pool(clips, config)
  frames = np.asarray(clips.frames[0, : clips.lengths[0]])
  frames = frames.reshape(-1, *clips.frame_shape)
  return name, frames, int(clips.apex[0]), weights[0], images[0]
