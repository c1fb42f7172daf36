"""Which files are frames, and in which order."""

import pytest

from dianet_jax.clips import frame_names


@pytest.mark.parametrize(
  ('name', 'number'),
  [
    ('img46.jpg', 46),
    ('reg_img46.jpg', 46),
    ('006_05562.jpg', 5562),
    ('009_0123.jpg', 123),
    ('1.jpg', 1),
    ('reg_image000001.bmp', 1),
    ('clip2.v3.png', 3),
    ('cover.jpg', None),
  ],
)
def test_frame_number_is_the_last_run_of_digits(name, number):
  assert frame_names.frame_number(name) == number


def test_frames_are_ordered_by_number_not_name():
  names = ['img10.jpg', 'img9.jpg', 'img100.jpg', 'cover.jpg', 'img9.png']
  assert frame_names.number_frames(names) == {
    9: 'img9.jpg',
    10: 'img10.jpg',
    100: 'img100.jpg',
  }


# One series of names a folder.


@pytest.mark.parametrize(
  ('names', 'strays'),
  [
    # What a file manager makes of copied files.
    (['1 (2).jpg', '1 (3).jpg', '1 (5).jpg'], 3),
    (['img10 (12).jpg'], 1),
    (['4 - Copy.jpg', '5 - Copy.jpg'], 2),
    (['Copy of 4.jpg'], 1),
    ([f'{i} - Copy.jpg' for i in range(1, 7)], 6),
    ([f'preview{i}.jpg' for i in (1, 2, 3)], 3),
    (['4.png', '5.PNG'], 2),
    (['004.jpg'], 1),
  ],
)
def test_stray_images_are_not_frames(names, strays):
  originals = [f'{i}.jpg' for i in range(1, 7)]
  numbered = frame_names.number_frames([*originals, *names])
  assert len({*originals, *names} - {*numbered.values()}) == strays
  # Of 4 and 004 nobody knows: one is taken, and the other is named.
  if names != ['004.jpg']:
    assert list(numbered.values()) == originals


def test_a_series_that_was_renamed_as_a_whole():
  """What Windows makes of files that are renamed together."""
  names = [f'img ({i}).jpg' for i in range(1, 12)]
  numbered = frame_names.number_frames([*names, 'cover1.jpg'])
  assert list(numbered.values()) == names


def test_suffixes_may_be_mixed_if_each_number_occurs_once():
  names = ['img1.JPG', 'img2.bmp', 'IMG3.jpeg', 'img4.png']
  assert list(frame_names.number_frames(names).values()) == names


@pytest.mark.parametrize('rivals', [4, 6])
def test_two_series_of_about_one_size_are_refused(rivals):
  names = [f'img{i}.jpg' for i in range(1, 7)]
  others = [f'reg_img{i}.jpg' for i in range(1, rivals + 1)]
  with pytest.raises(ValueError, match='several series') as info:
    frame_names.number_frames([*names, *others])
  for part in ("6 named 'img#'", f"{rivals} named 'reg_img#'"):
    assert part in str(info.value)


def test_time_stamps_of_up_to_eighteen_digits_number_frames():
  names = [f'{20131224153000 + i}.bmp' for i in range(10)]
  assert list(frame_names.number_frames(names).values()) == names


def test_longer_numbers_are_no_frame_numbers():
  names = [f'{10**18 + i}.bmp' for i in range(10)]
  with pytest.raises(ValueError, match='such as a time stamp') as info:
    frame_names.number_frames(names)
  assert 'Rename the frames to 1, 2, 3' in str(info.value)
