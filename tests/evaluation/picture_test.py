"""The picture of a clip shows what the run trains on."""

import cv2
from matplotlib import axes
import numpy as np
import pytest

from dianet_jax.clips import faces
from dianet_jax.core import config as configuration
from dianet_jax.core import errors
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.evaluation import picture
from dianet_jax.motion import rank_pooling, scaling
from dianet_jax.motion.dynamic_images import DYNAMIC_IMAGES
from dianet_jax.motion.registry import REPRESENTATIONS, ClipBatch
from tests.data.dataset_test import write_flow

APEX = 4
ENDS = {'onset_apex': (0, 4), 'apex_offset': (4, 8), 'onset_offset': (0, 8)}


@pytest.fixture
def frames():
  """A square that moves to and fro, and is brighter further to the right."""
  rng = np.random.default_rng(0)
  ground = rng.integers(90, 110, (16, 16, 3)).astype(np.uint8)
  clip = []
  for column in (0, 3, 1, 6, 8, 5, 7, 2, 4):
    frame = ground.copy()
    frame[4:8, column : column + 4] += np.uint8(60 + 5 * column)
    clip.append(frame)
  return np.stack(clip)


@pytest.mark.slow
@pytest.mark.parametrize(
  'phases', [('onset_apex', 'apex_offset'), ('onset_offset',), tuple(ENDS)]
)
@pytest.mark.parametrize('order', rank_pooling.ORDERS)
@pytest.mark.parametrize('kind', ['rank', 'linear'])
def test_the_weights_drawn_are_those_of_the_images(
  frames, kind, order, phases, tmp_path, monkeypatch
):
  config = configuration.Data(
    coefficients=kind, frame_order=order, phases=phases, image_size=16
  )
  keys = map(np.array, ([len(frames)], [0], [APEX], [len(frames) - 1]))
  flat = frames.reshape(1, len(frames), -1)
  clips = ClipBatch(flat, *keys, frame_shape=frames.shape[1:])
  [weights], [images] = picture.pool(clips, config)
  expected = np.tensordot(weights, frames.astype(np.float64), 1)
  np.testing.assert_allclose(images, expected, atol=1e-2)
  drawn = []
  plot = axes.Axes.plot

  def spy(self, x, y, **options):
    drawn.append((list(x), np.array(y)))
    return plot(self, x, y, **options)

  monkeypatch.setattr(axes.Axes, 'plot', spy)
  path = tmp_path / 'clip.png'
  of_views = DYNAMIC_IMAGES.phases(config)
  views = dict(zip(DYNAMIC_IMAGES.views(config), of_views, strict=True))
  picture.draw(frames, APEX, views, weights, images, path)
  assert cv2.imread(str(path)).std() > 10
  made = rank_pooling.COEFFICIENTS[kind]
  blurred = [
    cv2.blur(f, (3, 3), borderType=cv2.BORDER_REPLICATE)
    for f in frames @ np.array([0.299, 0.587, 0.114])
  ]
  moved = np.abs(np.array(blurred) - blurred[0]).mean(axis=(1, 2))
  criteria = rank_pooling.ORDERS[order] * len(phases)
  for (numbers, values), phase, criterion in zip(drawn, of_views, criteria):
    first, end = ENDS[phase]
    length = end + 1 - first
    assert numbers == list(range(first, end + 1))
    rank = np.argsort(np.argsort(moved[first : end + 1], kind='stable'))
    if criterion == 'time':
      rank = np.arange(length)
    np.testing.assert_allclose(values, made(length)[rank], rtol=1e-5)
  assert len(drawn) == len(of_views) == len(criteria)


FLOW = "--config.data.inputs=('phase_flow',)"
# Four clips.
SMALL = {'simulation.subjects': 2, 'simulation.clips_per_subject': 2}


def turned(records, frame_size, skip_bad_clips, track):
  """Replaces face alignment: every clip upside down, at half size."""
  del skip_bad_clips, track
  half = np.array([[-0.5, 0, frame_size], [0, -0.5, frame_size]])
  names = [records[index]['clip_id'].decode() for index in range(len(records))]
  return dict.fromkeys(names, half), []


@pytest.mark.slow
@pytest.mark.parametrize(
  'overrides',
  [
    {},
    {'align': 'true'},
    {'phases': "('onset_offset', 'apex_offset', 'onset_apex')"},
    {'crop': '(0.1, 0.2, 0.8, 0.9)', 'frame_size': 48, 'image_size': 24},
    {'frame_order': 'motion_intensity', 'coefficients': 'linear'},
    {'frame_order': 'both'},
  ],
  ids=str,
)
def test_it_is_the_image_that_the_run_trains_on(
  overrides, shared_cache, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(faces, 'find_transforms', turned)
  drawn = {}

  def spy(frames, apex, views, weights, images, path):
    drawn.update(frames=frames, apex=apex, views=views, images=images)
    draw(frames, apex, views, weights, images, path)

  draw = picture.draw
  monkeypatch.setattr(picture, 'draw', spy)
  values = {'cache_dir': shared_cache, **SMALL, **overrides}
  keys = [f'--config.data.{key}={value}' for key, value in values.items()]
  out = tmp_path / 'clip.png'
  picture.main(['--config=configs/demo.py', '--clip=3', f'--out={out}', *keys])
  name = capsys.readouterr().out.splitlines()[-1].split(': ')[0]
  config = picture._data('configs/demo.py', keys)
  dataset = dataset_lib.load(config, 0)
  [clip] = [i for i, c in enumerate(dataset.clips) if c.clip_id == name]
  assert tuple(drawn['views']) == dataset.views['dynamic_images']
  assert len(drawn['images']) == len(drawn['views'])
  np.testing.assert_array_equal(
    drawn['images'], dataset.inputs['dynamic_images'][0, clip]
  )
  assert drawn['frames'].shape[1:3] == (config.frame_size,) * 2
  assert 0 < drawn['apex'] < len(drawn['frames'])
  assert cv2.imread(str(out)).std() > 10


@pytest.mark.slow
def test_pictures_of_any_representation(shared_cache, tmp_path, monkeypatch):
  values = {
    'cache_dir': shared_cache, 'flow.method': 'farneback',
    'sampling.frames': 3, 'image_size': 24, 'frame_size': 48, **SMALL,
  }  # fmt: skip
  keys = [f'--config.data.{key}={value}' for key, value in values.items()]
  drawn = {}
  draw_inputs = picture.draw_inputs

  def spy(frames, apex, inputs_, path):
    drawn.update(inputs_)
    draw_inputs(frames, apex, inputs_, path)

  monkeypatch.setattr(picture, 'draw_inputs', spy)
  arguments = ['--config=configs/demo.py', '--clip=1', *keys]
  out = tmp_path / 'clip.png'
  picture.main(
    [*arguments, '--inputs=phase_flow,long_term_flow', f'--out={out}']
  )
  assert cv2.imread(str(out)).std() > 10
  titles = {name: [t for t, _ in shown] for name, shown in drawn.items()}
  assert titles == {
    'phase_flow': ['onset to apex', 'apex to offset'],
    'long_term_flow': [f'onset to {n} of 3' for n in (1, 2, 3)],
  }
  config = picture._data('configs/demo.py', [*keys, FLOW])
  assert config.inputs == ('phase_flow',)
  dataset = dataset_lib.load(config, 0)
  for image, (_, pixels) in zip(
    dataset.inputs['dynamic_images'][0, 1], drawn['phase_flow'], strict=True
  ):
    np.testing.assert_array_equal(pixels, scaling.to_display(image))
  # A file of each there is.
  picture.main([*arguments, '--inputs=all', f'--strips={tmp_path / "each"}'])
  strips = {p.stem: cv2.imread(str(p)) for p in (tmp_path / 'each').iterdir()}
  assert set(strips) == set(REPRESENTATIONS) - {'flow_and_positions'}
  assert strips['key_frames'].shape == (24, 3 * 24, 3)
  assert all(strip.std() > 5 for strip in strips.values())


def test_all_pictures_of_clips_without_position_images(shared_cache, tmp_path):
  root = tmp_path / 'raw'
  root.mkdir()
  write_flow(root, [('samm', '006', '006_1_2', 0)])
  strips = tmp_path / 'each'
  keys = [f'--config.data.manual_dir={root}', f'--strips={strips}']
  keys.append(f'--config.data.cache_dir={shared_cache}')
  picture.main(['--config=configs/megc2019.py', '--inputs=all', *keys])
  assert 'phase_flow.png' in {path.name for path in strips.iterdir()}


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['--inputs=flow'], "inputs='flow'.*mean"),
    (['--clip=4'], '--clip=4: expected 0 to 3'),
    (['--out=/nope/x.png'], '--out=/nope/x.png: /nope is not a'),
    (['--out=x.xyz'], '--out=x.xyz: expected a file name .* .png'),
    (['--out=x'], '--out=x: expected a file name'),
    (
      ['--config=configs/nope.py'],
      '--config=configs/nope.py: there is no such file',
    ),
    (['--config.data.algn=true'], 'data.algn is not .*config.data.align;'),
    (['--config.trian.epochs=1'], 'configs/demo.py: .*trian'),
    (['--config.data.align=perhaps'], 'align=perhaps'),
    (["--config.data.phases=('x',)"], "phases=.'x',.* is out of range"),
  ],
)
def test_invalid_arguments_are_refused(arguments, message, shared_cache):
  values = {'cache_dir': shared_cache, **SMALL}
  keys = [f'--config.data.{key}={value}' for key, value in values.items()]
  with pytest.raises(errors.UserError, match=message):
    picture.main([*arguments, *keys])
