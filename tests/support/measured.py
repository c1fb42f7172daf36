"""Long videos as numbers: blocks of a face that were never filmed."""

import numpy as np

from dianet_jax.clips import face_blocks, intervals
from dianet_jax.evaluation import spotting

GRID = face_blocks.grid(50)
PATCHES = sum(map(len, face_blocks.PATCHES.values()))


def blocks(motion):
  """Blocks of a face whose head is still.

  Args:
    motion: float64 [step, patch, 2], at 50 steps a second.
  """
  found = []
  for start in range(0, len(motion), GRID.steps):
    some = motion[start : start + GRID.steps + GRID.overlap]
    numbers = np.arange(start, start + len(some))
    head = np.zeros((len(some), 4))
    place = (64.0, 64.0, 128.0)
    found.append(
      face_blocks.Block(
        start, numbers, numbers / 50, some - some[0], head, place
      )
    )
  return found


def acted(subject, seed, seconds=12, percent=2.0):
  """A micro- and a macro-expression of the brows in noise.

  Returns:
    What is true of the video, and its blocks.
  """
  rng = np.random.default_rng(seed)
  motion = rng.normal(0, 0.05, (50 * seconds, PATCHES, 2))
  truth = []
  for length, kind in ((18, 'micro'), (70, 'macro')):
    first = (100 if kind == 'micro' else 300) + int(rng.integers(0, 100))
    bump = np.sin(np.pi * np.linspace(0, 1, length + 1))
    motion[first : first + length + 1, :5, 1] += percent * bump[:, None]
    truth.append(
      intervals.Interval(first, first + length // 2, first + length, kind)
    )
  video = spotting.Video(
    f'{subject}{seed}',
    subject,
    len(motion),
    50.0,
    tuple(spotting.Expression(one) for one in truth),
  )
  return video, blocks(motion)
