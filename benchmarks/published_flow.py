"""Flow images from both sources: as published, and computed from raw frames.

python -m benchmarks.published_flow --out=docs/motion/both_roads.png

For simulated clips, it writes images like those published for the MEGC 2019
composite (flow by OpenCV, strain by NumPy, area reduction to 28 x 28, min-max
to 0..255 channel by channel, PNG), and reads them as the data set
`megc2019_flow`. It also computes `phase_flow` from the frames of the same
clips, and prints, by channel, the mean difference in grey levels and the
correlation. OpenCV's plain wheels have no TV-L1. So the images here hold
Farneback's flow, with TV-L1 from frames beside it.
"""

import argparse
from collections.abc import Mapping, Sequence
import dataclasses
import pathlib
import tempfile

import cv2
import jax
from jaxtyping import Float, UInt8
import numpy as np
import rich.box
import rich.console
import rich.table

from benchmarks import rank_pooling
from configs import demo
from dianet_jax.core import config as configuration
from dianet_jax.core import runtime
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.data import inputs as inputs_lib
from dianet_jax.evaluation import plots
from dianet_jax.experiments import configuration as experiments
from dianet_jax.motion import registry as motion

_SIZE = 28
_LIST = 'combined_3_class2_for_optical_flow.csv'
# File names of the two phases end so.
_ENDINGS = ('', '_1')
_READS = ('phase_flow',)
# A subject each, five classes; the first of each is drawn.
_CLIPS = (0, 13, 26, 39, 52)

Images = Float[np.ndarray, 'clip phase height width channel']


def published(
  first: UInt8[np.ndarray, 'height width channel'],
  last: UInt8[np.ndarray, 'height width channel'],
) -> UInt8[np.ndarray, '28 28 3']:
  """Computes u, v and strain between two frames without code of ours."""
  grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, last)]
  flow = cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 3, 15, 3, 5, 1.2, 0)
  (u_y, u_x), (v_y, v_x) = (np.gradient(flow[..., axis]) for axis in (0, 1))
  strain = np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
  image = cv2.resize(
    np.dstack([flow, strain]), (_SIZE, _SIZE), interpolation=cv2.INTER_AREA
  )
  low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
  return np.round(255 * (image - low) / (high - low)).astype(np.uint8)


def write(clips: motion.ClipBatch, root: pathlib.Path) -> None:
  """Writes a folder in the published layout, with one subject per clip."""
  lines = ['dataset,sub,filename_o,label']
  key_frames = np.stack([clips.onset, clips.apex, clips.offset], axis=1)
  for number, (pixels, keys) in enumerate(
    zip(np.asarray(clips.frames), key_frames[: len(_CLIPS)]), 1
  ):
    frames = pixels.reshape(-1, *clips.frame_shape)
    lines.append(f'casme2,sub{number:02},EP01,{number % 3}')
    for ending, first, last in zip(_ENDINGS, keys, keys[1:]):
      image = published(frames[first], frames[last])
      # The published files hold u in red, strain in blue; OpenCV writes BGR.
      png = cv2.imencode('.png', image[..., ::-1])[1]
      (root / f'sub{number:02}_EP01{ending} .png').write_bytes(png.tobytes())
  (root / _LIST).write_text('\n'.join(lines) + '\n')


def read(root: pathlib.Path, cache: pathlib.Path) -> Images:
  """The images of that folder, as a run reads them."""
  settings = configuration.Data(
    dataset='megc2019_flow',
    protocol='megc2019_3class',
    manual_dir=str(root),
    cache_dir=str(cache),
    frame_size=_SIZE,
    image_size=_SIZE,
    inputs=_READS,
  )
  return dataset_lib.load(settings, 0, _READS).inputs['phase_flow'][0]


def compare(one: Images, other: Images) -> list[tuple[float, float]]:
  """Mean difference in grey levels and correlation, a pair for each channel."""
  pairs = zip(*(np.moveaxis(x, -1, 0).reshape(3, -1) for x in (one, other)))
  return [
    (float(np.abs(a - b).mean()), float(np.corrcoef(a, b)[0, 1]))
    for a, b in pairs
  ]


def draw(
  roads: Mapping[str, Images], titles: Sequence[str], path: pathlib.Path
) -> None:
  """Draws one row per clip and source, with each channel in grey levels.

  Args:
    roads: images centred on mid-grey.
    titles: titles of the columns, the channels of each phase.
    path: the picture to write.
  """
  clips = range(len(next(iter(roads.values()))))
  rows = [(clip, name) for clip in clips for name in roads]
  with plots.own_settings() as figure:
    drawing = figure.Figure(
      figsize=(8.5, 1.5 * len(rows)), layout='constrained', dpi=110
    )
    axes = drawing.subplots(len(rows), len(titles))
    for line, (clip, name) in zip(axes, rows):
      columns = np.moveaxis(roads[name][clip], -1, 1).reshape(-1, _SIZE, _SIZE)
      for place, pixels in zip(line, columns, strict=True):
        place.imshow(pixels, cmap='gray', vmin=-127.5, vmax=127.5)
        place.set_xticks([])
        place.set_yticks([])
      line[0].set_ylabel(name, fontsize=8)
    for place, title in zip(axes[0], titles, strict=True):
      place.set_title(title, fontsize=8)
    drawing.savefig(path)


def main() -> None:
  """Prints the table and draws the picture."""
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.published_flow',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--out', default='both_roads.png', help='the picture')
  options = parser.parse_args()
  runtime.configure(runtime.cache_dir(''))
  settings = dataclasses.replace(
    experiments.from_mapping(demo.get_config().to_dict()).data,
    frame_size=224,
    image_size=_SIZE,
    inputs=_READS,
  )
  records = dataset_lib.open_records(settings).source
  # Filled up to a whole batch, as a run does it.
  clips = inputs_lib.read_clips([records[i] for i in _CLIPS], settings, None)
  row = motion.REPRESENTATIONS['phase_flow']
  made = {}
  for name, method in (("Farneback's", 'farneback'), ('TV-L1', 'tv_l1')):
    chosen = dataclasses.replace(
      settings, flow=dataclasses.replace(settings.flow, method=method)
    )
    made[f'frames, {name}'] = np.asarray(row(clips, chosen))[: len(_CLIPS)]
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    (root / 'raw').mkdir()
    write(clips, root / 'raw')
    stored = read(root / 'raw', root / 'cache')
  console = rich.console.Console(width=100, highlight=False)
  console.print(
    f'{len(_CLIPS)} simulated clips, {settings.frame_size} to {_SIZE} pixels,'
    f' {rank_pooling.THREADS} cores, jax {jax.__version__}'
  )
  table = rich.table.Table(
    'against the stored images',
    *(f'{c.name}: grey levels, r' for c in row.channels(settings)),
    box=rich.box.SIMPLE,
  )
  for name, images in made.items():
    cells = [f'{d:.2f}, {r:.4f}' for d, r in compare(stored, images)]
    table.add_row(name, *cells)
  console.print(table)
  roads = {'stored images': stored} | made
  shown = {name: images[[0, 2]] for name, images in roads.items()}
  titles = [
    f'{channel.name}, {view}'
    for view in row.views(settings)
    for channel in row.channels(settings)
  ]
  draw(shown, titles, pathlib.Path(options.out))
  console.print(options.out)


if __name__ == '__main__':
  main()
