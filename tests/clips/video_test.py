"""Videos are read upright and with their times; other files are refused."""

import re

import cv2
import numpy as np
import pytest

from dianet_jax.clips import segments, video
from dianet_jax.core import errors
from tests.support import moving, videos


@pytest.fixture
def frames():
  return np.random.default_rng(0).integers(0, 256, (20, 32, 48, 3), np.uint8)


def read(path, fps=None):
  source = video.Video(path, fps)
  found = [(frame.seconds, frame.image()) for frame in source.frames()]
  seconds, images = zip(*found)
  return np.array(seconds), np.stack(images), source.warnings


def test_times_are_the_time_stamps_of_the_file(tmp_path, frames):
  written = 0.5 + np.cumsum([0.01] * 9 + [0.05] + [0.02] * 10)
  path = videos.write(tmp_path / 'a.mkv', frames, written)
  seconds, images, warnings = read(path)
  np.testing.assert_allclose(seconds, written - written[0], atol=1e-3)
  np.testing.assert_array_equal(images, frames)
  assert warnings == []


def test_a_rotated_video_is_turned_upright(tmp_path):
  smooth = moving.clip(moving.translation(3, 0), np.linspace(0, 1, 6))[:, :48]
  path = videos.write(tmp_path / 'a.mp4', smooth, codec='libx264', crf='10')
  videos.turn(path)
  _, [first, *_], _ = read(path)
  assert first.shape == (64, 48, 3)
  _, expected = cv2.VideoCapture(str(path)).read()
  np.testing.assert_allclose(
    first.astype(int), expected[..., ::-1].astype(int), atol=2
  )


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path, frames):
  for number, image in enumerate(frames):
    cv2.imwrite(str(tmp_path / f'img{number + 1}.png'), image[..., ::-1])
  (tmp_path / 'notes.txt').write_text('no frame')
  # What a file manager makes of a copied file is no frame.
  (tmp_path / 'img3 (2).png').write_bytes(b'no image')
  (tmp_path / '._img4.png').write_bytes(b'no image')
  seconds, images, warnings = read(tmp_path, fps=200)
  assert warnings == [
    '1 image skipped, not named like the frames: img3 (2).png'
  ]
  np.testing.assert_array_equal(images, frames)
  np.testing.assert_allclose(seconds, np.arange(20) / 200)


@pytest.mark.parametrize(
  'shift,codec,crf,warning',
  [
    (3, 'libx264', 18, ''),
    (3, 'libx264', 23, ''),
    (3, 'libx264', 30, r'\(h264, quantiser 39.\d, expected at most 33\)'),
    # Where nothing moves there are few bits, and nothing is lost.
    (0, 'libx264', 18, ''),
    (0, 'libx264', 23, ''),
    (0, 'libx264', 30, r'\(h264, quantiser 38'),
    (0, 'libvpx-vp9', 10, ''),
    (0, 'libvpx-vp9', 63, r'\(vp9, 0.\d+ bits per pixel in a key frame'),
  ],
)
def test_strong_compression_gives_a_warning(
  tmp_path, shift, codec, crf, warning
):
  shares = np.linspace(0, 1, 6)
  clip = moving.clip(moving.translation(shift, 0), shares, 128)
  if codec != 'libx264':
    clip = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in clip])
  path = videos.write(tmp_path / 'a.mp4', clip, codec=codec, crf=str(crf))
  *_, warnings = read(path)
  assert len(warnings) == bool(warning)
  if warning:
    assert re.search('the video is strongly compressed ' + warning, warnings[0])


def test_folders_without_exactly_one_series_are_refused(tmp_path):
  for folder, names, reason in (
    ('unnumbered', ('a.png', 'b.png'), 'frames: .* only in a'),
    ('two', ('a1.png', 'a2.png', 'b1.png', 'b2.png'), 'several series'),
  ):
    (tmp_path / folder).mkdir()
    for name in names:
      (tmp_path / folder / name).touch()
    with pytest.raises(errors.UserError, match=f'{folder} .*{reason}'):
      read(tmp_path / folder, 100)


def test_a_file_that_is_not_a_video_is_refused(tmp_path, frames):
  (tmp_path / 'a.mp4').write_bytes(b'nothing of the kind')
  (tmp_path / 'empty.mp4').write_bytes(b'')
  (tmp_path / 'no frames').mkdir()
  whole = videos.write(tmp_path / 'whole.mp4', frames, codec='libx264')
  # Where its frames lie is told at the end of such a file.
  (tmp_path / 'cut.mp4').write_bytes(whole.read_bytes()[:-200])
  for name, fps, reason in (
    ('a.mp4', None, 'is not a readable video'),
    ('empty.mp4', None, 'is not a readable video'),
    ('cut.mp4', None, 'is not a readable video'),
    ('nowhere.mp4', None, 'no such file'),
    ('no frames', 100, 'contains no frames'),
    ('no frames', None, r'--fps=NUMBER'),
    ('no frames', 0, 'fps=0'),
    ('whole.mp4', 100, 'a video has time stamps'),
  ):
    with pytest.raises(errors.UserError, match=reason):
      read(tmp_path / name, fps)


def test_a_truncated_video_is_reported(tmp_path, frames):
  path = videos.write(
    tmp_path / 'a.mp4', np.tile(frames, (3, 1, 1, 1)), codec='libx264'
  )
  content = path.read_bytes()
  # The index first, as files for streaming have it: what follows may be cut.
  with (
    videos.av.open(str(path)) as old,
    videos.av.open(
      str(tmp_path / 'fast.mp4'), 'w', options={'movflags': 'faststart'}
    ) as new,
  ):
    stream = new.add_stream_from_template(old.streams.video[0])
    for packet in old.demux(video=0):
      if packet.dts is not None:
        packet.stream = stream
        new.mux(packet)
  content = (tmp_path / 'fast.mp4').read_bytes()
  (tmp_path / 'cut.mp4').write_bytes(content[: len(content) // 2])
  source, count = video.Video(tmp_path / 'cut.mp4'), 0
  try:
    for _ in source.frames():
      count += 1
  except errors.UserError as error:
    assert f'damaged after {count} frame(s)' in str(error)
  else:
    found = f'truncated: it has {count} of 60'
    assert any(found in text for text in source.warnings)
  assert 0 < count < 60


def test_frames_outside_the_segment_are_not_kept_in_memory(
  tmp_path, monkeypatch
):
  """Memory does not grow with the video, nor is it read past the clip."""
  asked = []

  def endless():
    for number in range(10**9):
      asked.append(number)
      yield segments.Frame(number / 100, lambda: pattern)

  pattern = moving.frame(moving.translation(0, 0), 0)
  settings = moving.settings()
  wanted = segments.Segment(onset=300, offset=320)
  clip = segments.take('endless', endless(), wanted, settings)
  assert len(clip.frames) == 21 and asked[-1] == 321
  asked.clear()
  with pytest.raises(errors.UserError, match='longer than 2 seconds'):
    segments.take('endless', endless(), segments.WHOLE, settings)
  assert len(asked) == 202


@pytest.mark.parametrize('turned', [False, True])
def test_grey_levels_are_those_of_the_colours(tmp_path, turned):
  frames = moving.clip(moving.translation(2, 1), [0, 0.5, 1])[:, :48]
  path = videos.write(tmp_path / 'a.mp4', frames, codec='libx264', crf='1')
  if turned:
    videos.turn(path)
  for frame in video.Video(path).frames():
    assert frame.grey is not None
    grey = cv2.cvtColor(frame.image(), cv2.COLOR_RGB2GRAY)
    assert frame.as_grey().shape == grey.shape
    assert np.abs(frame.as_grey().astype(int) - grey).mean() < 2
