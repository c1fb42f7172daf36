"""Shared by models that read frames or differences of frames."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from jaxtyping import Array, Float
import numpy as np

from dianet_jax.core import config, schema

Frames = Float[Array, 'clip frame height width channel']
Images = Float[Array, '*batch height width channel']
NewImages = Float[Array, '*batch new_height new_width feature']

# `normalise` -> mean and standard deviation of red, green and blue, of 0..1.
STATISTICS: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
  'imagenet': (
    np.array([0.485, 0.456, 0.406]),
    np.array([0.229, 0.224, 0.225]),
  ),
  'half': (np.array(0.5), np.array(0.5)),
}


@dataclasses.dataclass(frozen=True)
class Settings(config.Model):
  """Settings of every model of frames."""

  white: float = schema.key(
    1.0,
    'Value of white in the frames that the model reads: 1 with'
    ' data.scaling=symmetric and for colours of flow, 255 if frames are not'
    ' scaled.',
    schema.ABOVE_ZERO,
  )
  normalise: str = schema.key(
    'imagenet',
    'Normalisation of frames of 0..1: imagenet (subtract the mean of'
    " ImageNet's channels, divide by their standard deviation), half (the same"
    ' with a mean and a deviation of .5, which ViT-B/16 was trained with), or'
    ' none, also for images that are not colours.',
    schema.one_of('imagenet', 'half', 'none'),
  )


# Recommended for models whose authors train them on frames of 0..1.
UNSCALED: Mapping[str, Any] = {'data.scaling': 'none', 'model.white': 255.0}


def normalised(frames: Images, settings: Settings) -> NewImages:
  """Frames normalised as `settings` say.

  A white frame, after subtracting the mean and dividing by the deviation:

  >>> white = np.full((1, 1, 1, 1, 3), 255.0)
  >>> normalised(white, Settings(white=255.0)).round(2).ravel().tolist()
  [2.25, 2.43, 2.64]

  Args:
    frames: float, 0 to `settings.white`; RGB, or any one number of channels
      with another `normalise` than imagenet.
    settings: see `Settings`.
  """
  frames = frames / settings.white
  if settings.normalise == 'none':
    return frames
  mean, deviation = (
    x.astype(frames.dtype) for x in STATISTICS[settings.normalise]
  )
  return (frames - mean) / deviation


def normalised_difference(frames: Images, settings: Settings) -> NewImages:
  """Differences of two frames, as if both frames had been normalised.

  >>> none = np.zeros((1, 1, 1, 1, 3))
  >>> normalised_difference(none, Settings()).ravel().tolist()
  [0.0, 0.0, 0.0]

  Args:
    frames: differences, float, -`settings.white` to `settings.white`.
    settings: see `Settings`.
  """
  frames = frames / settings.white
  if settings.normalise == 'none':
    return frames
  _, deviation = STATISTICS[settings.normalise]
  return frames / deviation.astype(frames.dtype)
