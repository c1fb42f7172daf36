"""Purposes of random numbers, each with its own number for `fold_in`.

A key depends on the seed, the held-out subject, the purpose and the step, and
not on the order of folds or on which folds train together.
"""

import enum


class OfFold(enum.IntEnum):
  """Folded into a fold's key."""

  INITIALISE = 0
  SHUFFLE = 1
  STEP = 2
  VARIANT = 3
  FIT = 4


class OfStep(enum.IntEnum):
  """Folded into the key of a step."""

  DROPOUT = 0
  AUGMENT = 1
  MIXUP = 2
  OBJECTIVE = 3


class OfClip(enum.IntEnum):
  """Folded into the key of a clip in a step."""

  FLIP = 0
  SHIFT = 1
  ROTATION = 2
