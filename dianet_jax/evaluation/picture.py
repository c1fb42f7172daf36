"""Draws one clip and the representations that are computed from it.

dianet picture --config=configs/demo.py --clip=3 --out=clip.png
"""

import argparse
from collections.abc import Mapping, Sequence
import dataclasses
import os
import pathlib
import sys

from absl import flags
import cv2
import jax.numpy as jnp
from jaxtyping import Float, UInt8
from ml_collections import config_flags
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, faults, runtime, schema
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.data import inputs
from dianet_jax.evaluation import plots
from dianet_jax.models.registry import MODELS
from dianet_jax.motion import (
  display,
  motion_intensity,
  rank_pooling,
  scaling,
)
from dianet_jax.motion import registry as motion
from dianet_jax.motion.dynamic_images import DYNAMIC_IMAGES
from dianet_jax.motion.flow_and_positions import POSITION
from dianet_jax.motion.registry import ClipBatch
from tfds_builders import registry as data_sets

# (Title, picture) of one representation of a clip.
Pictures = Sequence[tuple[str, UInt8[np.ndarray, 'height width color']]]

# Pictures side by side.
_ABREAST = 5
_COLORS = ('#1f4e79', '#b5651d', '#4f7942', '#7b3f98', '#a02c2c', '#2c8c99')


def draw(
  frames: UInt8[np.ndarray, 'frame height width channel'],
  apex: int,
  views: Mapping[str, str],
  weights: Float[np.ndarray, 'view at_most'],
  images: Float[np.ndarray, 'view new_height new_width channel'],
  path: pathlib.Path,
) -> None:
  """Draws frames, rank-pooling weights, and below them the dynamic images.

  Args:
    frames: 0..255, onset to offset.
    apex: index of the apex frame.
    views: title of each dynamic image -> its phase, a key of
      `rank_pooling.PHASES`.
    weights: weight of each frame in the dynamic images.
    images: the dynamic images, signed.
    path: of the picture; its suffix selects the format.
  """
  with plots.own_settings() as figure:
    drawing = figure.Figure(figsize=(8.5, 5.6), layout='constrained', dpi=110)
    _fill(drawing, frames, apex, views, weights, images)
    drawing.savefig(path)


def _fill(drawing, frames, apex, views, weights, images) -> None:
  """Draws on a matplotlib figure; see `draw`."""
  keys = {'onset': 0, 'apex': apex, 'offset': len(frames) - 1}
  top, middle, bottom = drawing.subfigures(3, height_ratios=(1, 0.75, 1.25))
  _draw_row(top, _frames(frames, apex))
  curves = middle.subplots()
  row = bottom.subplots(1, len(views), squeeze=False)[0]
  for axes, (view, phase), weight, image, color in zip(
    row, views.items(), weights, images, _COLORS
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
    title = f'dynamic image,\n{view}'
    axes.set_title(title, fontsize=9 if len(views) < 4 else 6, color=color)
    axes.set_axis_off()
  curves.axhline(0, color='#999', linewidth=0.5)
  curves.set_ylabel('weight of the frame', fontsize=8)
  curves.set_xlabel('frame', fontsize=8)
  curves.tick_params(labelsize=8)
  curves.spines[['top', 'right']].set_visible(False)


def _check_out(path: pathlib.Path) -> None:
  """Checks that a file can be written, before any work is done."""
  with plots.own_settings() as figure:
    formats = sorted(figure.Figure().canvas.get_supported_filetypes())
  if path.suffix[1:].lower() not in formats:
    raise errors.UserError(
      f'--out={path}: expected a file name that ends in one of'
      f' {", ".join(f".{name}" for name in formats)}.'
    )
  if path.is_dir() or not os.access(path.parent, os.W_OK):
    raise errors.UserError(
      f'--out={path}: {path.parent} is not a writable folder, or {path} is a'
      ' folder. Choose another file.'
    )


def draw_inputs(
  frames: UInt8[np.ndarray, 'frame height width channel'] | None,
  apex: int,
  inputs_: Mapping[str, Pictures],
  path: pathlib.Path,
) -> None:
  """Draws frames, and below them the pictures of each representation.

  Args:
    frames: 0..255, onset to offset; None if the data set holds images instead.
    apex: index of the apex frame.
    inputs_: representation -> its pictures.
    path: of the picture.
  """
  rows: list[tuple[str, Pictures]] = []
  if frames is not None:
    rows.append(('frames', _frames(frames, apex)))
  for name, shown in inputs_.items():
    for first in range(0, len(shown), _ABREAST):
      rows.append((name, shown[first : first + _ABREAST]))
  with plots.own_settings() as figure:
    drawing = figure.Figure(
      figsize=(8.5, 2.1 * len(rows)), layout='constrained', dpi=110
    )
    parts = drawing.subfigures(len(rows), squeeze=False)[:, 0]
    for part, (name, shown) in zip(parts, rows):
      part.suptitle(name, fontsize=10)
      _draw_row(part, shown)
    drawing.savefig(path)


def _frames(frames, apex):
  """Five frames of a clip, including its key frames, with titles."""
  last = len(frames) - 1
  names = {0: 'onset', apex: 'apex', last: 'offset'}
  numbers = [0, apex // 2, apex, (apex + last) // 2, last]
  return [(f'frame {n} {names.get(n, "")}', frames[n]) for n in numbers]


def _draw_row(part, shown):
  row = part.subplots(1, max(len(shown), 2), squeeze=False)[0]
  for axes in row:
    axes.set_axis_off()
  for axes, (title, pixels) in zip(row, shown):
    grey = pixels.shape[-1] == 1
    axes.imshow(pixels.squeeze(), cmap='gray' if grey else None)
    axes.set_title(title, fontsize=9 if len(title) < 30 else 6)


def write_strips(inputs_: Mapping[str, Pictures], folder: pathlib.Path) -> None:
  """Writes one PNG file for each representation, its pictures side by side.

  Args:
    inputs_: representation -> its pictures.
    folder: is made if it does not exist.

  >>> import tempfile
  >>> pictures = [('onset', np.zeros((8, 8, 3), np.uint8))] * 3
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   write_strips({'key_frames': pictures}, pathlib.Path(folder))
  ...   cv2.imread(f'{folder}/key_frames.png').shape
  (8, 24, 3)
  """
  folder.mkdir(parents=True, exist_ok=True)
  for name, shown in inputs_.items():
    pixels = [picture for _, picture in shown]
    strip = np.concatenate(pixels, axis=1)[..., ::-1]
    cv2.imwrite(str(folder / f'{name}.png'), strip)


def show(
  clips: ClipBatch, config: configuration.Data, names: Sequence[str]
) -> dict[str, Pictures]:
  """Pictures of the first clip of a batch.

  Args:
    clips: what `inputs.read_clips` returned.
    config: the `data` section.
    names: names of representations.

  Returns:
    Representation -> (title, picture); without those that are not images.

  >>> frames = np.zeros((1, 3, 4 * 4 * 3), np.uint8)
  >>> at = np.array([[3], [0], [1], [2]])
  >>> clips = ClipBatch(frames, *at, frame_shape=(4, 4, 3))
  >>> settings = configuration.Data(image_size=4)
  >>> shown = show(clips, settings, ['key_frames'])
  >>> [title for title, _ in shown['key_frames']]
  ['onset frame', 'apex frame', 'offset frame']
  """
  chosen = {name: name for name in names}
  stored = '' if clips.frames is not None else 'images'
  channels = motion.channels(chosen, config, stored)
  views = motion.views(chosen, config)
  found = {}
  for name in names:
    if channels[name]:
      [images, *_] = np.asarray(motion.REPRESENTATIONS[name](clips, config))
      found[name] = list(display.pictures(images, views[name], channels[name]))
  return found


def pool(
  clips: ClipBatch, config: configuration.Data
) -> tuple[
  Float[np.ndarray, 'clip view frame'],
  Float[np.ndarray, 'clip view height width channel'],
]:
  """Rank-pooling weights of the frames, and the dynamic images of a run.

  Args:
    clips: what `inputs.read_clips` returned.
    config: the `data` section.

  Returns:
    Weights, 0 outside a phase; and dynamic images, signed.
  """
  assert clips.frames is not None, 'clips must have frames'
  keys = {key: getattr(clips, key) for key in ('onset', 'apex', 'offset')}
  first, last = (
    jnp.stack([keys[rank_pooling.PHASES[p][end]] for p in config.phases], -1)
    for end in (0, 1)
  )
  weights = rank_pooling.frame_weights(
    clips.frames.shape[1],
    first,
    last,
    config.coefficients,
    config.frame_order,
    motion_intensity.motion_intensity(
      clips.frames, clips.onset, clips.frame_shape
    ),
  )
  return np.asarray(weights), np.asarray(DYNAMIC_IMAGES(clips, config))


def main(argv: Sequence[str] | None = None) -> None:
  """The command `dianet picture`.

  Args:
    argv: of the command line; None for those of the process.

  Raises:
    UserError: an invalid configuration or clip, or a data set without the
      frames that a representation needs.
  """
  options, rest = _parse(argv)
  path = pathlib.Path(options.out)
  if not options.strips:
    _check_out(path)
  config = _data(options.config, rest)
  if options.inputs:
    names = tuple(options.inputs.split(','))
    stored = data_sets.facts(config.dataset).stored
    every = tuple(
      name
      for name, row in motion.REPRESENTATIONS.items()
      if not row.unsupported(config, stored)
    )
    config = dataclasses.replace(
      config, inputs=every if names == ('all',) else names
    )
  name, clips = _read(config, options.clip)
  if options.inputs == 'all' and POSITION + config.phases[0] not in (
    clips.stored
  ):
    provided = tuple(
      name
      for name in config.inputs
      if not motion.REPRESENTATIONS[name].positions
    )
    config = dataclasses.replace(config, inputs=provided)
  apex, frames = int(clips.apex[0]), None
  if clips.frames is not None:
    frames = np.asarray(clips.frames[0, : clips.lengths[0]])
    frames = frames.reshape(-1, *clips.frame_shape)
  if config.inputs == ('dynamic_images',) and not options.strips:
    weights, images = pool(clips, config)
    assert frames is not None, 'dynamic images are made of frames'
    views = dict(
      zip(DYNAMIC_IMAGES.views(config), DYNAMIC_IMAGES.phases(config))
    )
    draw(frames, apex, views, weights[0], images[0], path)
  else:
    shown = show(clips, config, config.inputs)
    if options.strips:
      path = pathlib.Path(options.strips)
      write_strips(shown, path)
    else:
      draw_inputs(frames, apex, shown, path)
  print(f'{name}: {path}')


def _parse(argv):
  parser = argparse.ArgumentParser(
    prog='dianet picture',
    description='Draws a clip and the representations computed from it.',
    epilog='--config.KEY=VALUE sets a key of the configuration, for instance'
    ' --config.data.align=true.',
  )
  parser.add_argument(
    '--config',
    default='configs/demo.py',
    help='configuration file (default: configs/demo.py); a model may follow'
    ' after a colon',
  )
  parser.add_argument(
    '--clip', type=int, default=0, help='index of the clip in the records'
  )
  parser.add_argument(
    '--out', default='clip.png', help='PNG file to write (default: clip.png)'
  )
  parser.add_argument(
    '--inputs',
    help="representations, separated by commas, or 'all' that the data set can"
    ' provide (default: those'
    ' that the model reads)',
  )
  parser.add_argument(
    '--strips',
    help='folder for one picture of each representation, instead of --out',
  )
  options, rest = parser.parse_known_args(argv)
  if wrong := [x for x in rest if not x.startswith('--config.')]:
    parser.error(f'unrecognized arguments: {" ".join(wrong)}')
  return options, rest


def _data(path: str, overrides: Sequence[str]) -> configuration.Data:
  """The `data` section of a configuration file, its inputs named."""
  file = pathlib.Path(path.split(':')[0])
  if not file.is_file():
    raise errors.UserError(f'--config={path}: there is no such file.')
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
    data, model = holder.value.data.to_dict(), holder.value.model.name
  except errors.UserError:
    raise
  except Exception as error:  # A configuration file may raise anything.
    raise errors.UserError(
      f'--config={path}: {faults.one_line(error)}'
    ) from error
  parsed = schema.parse({'data': data}, configuration.Config, {}).data
  chosen = motion.feed(MODELS[model].reads, parsed.inputs)
  return dataclasses.replace(parsed, inputs=tuple(chosen.values()))


def _read(config: configuration.Data, clip: int) -> tuple[str, ClipBatch]:
  """A clip's name, and the clip as a batch."""
  stored = data_sets.facts(config.dataset).stored
  chosen = {name: name for name in config.inputs}
  if unsupported := motion.unsupported(chosen, config, stored):
    raise errors.UserError(
      f'--config.data.dataset={config.dataset} cannot be drawn: {unsupported}.'
      ' Change --config.data.inputs or --inputs.'
    )
  runtime.configure(runtime.cache_dir(config.cache_dir))
  runtime.require_devices()
  records = dataset_lib.open_records(config)
  number = len(records.source)
  if not 0 <= clip < number:
    raise errors.UserError(f'--clip={clip}: expected 0 to {number - 1}.')
  record = records.source[clip]
  name = record['clip_id'].decode()
  transforms, faceless = dataset_lib.find_transforms(
    records.source, [clip], config
  )
  if faceless:
    raise errors.UserError(f'--clip={clip}: {name}: {faceless[0][1]}')
  return name, inputs.read_clips([record], config, transforms)
