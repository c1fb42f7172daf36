"""What models that read frames or their differences have in common."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from jaxtyping import Array, Float
import numpy as np

from dianet_jax.core import config, schema

Frames = Float[Array, 'clip frame height width channel']

# Mean and deviation of red, green and blue in ImageNet.
MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])


@dataclasses.dataclass(frozen=True)
class Settings(config.Model):
  """Settings of every model of frames."""

  white: float = schema.key(
    1.0,
    'What the brightest grey level is in the frames as they come: 1 with'
    ' data.scaling=symmetric, 255 where they are not scaled.',
    schema.ABOVE_ZERO,
  )
  normalise: str = schema.key(
    'imagenet',
    "Frames, once white is 1: imagenet (minus the mean of ImageNet's channels,"
    ' divided by their deviation), or none.',
    schema.one_of('imagenet', 'none'),
  )


# Recommended for a model whose authors feed it frames of 0..1.
UNSCALED: Mapping[str, Any] = {'data.scaling': 'none', 'model.white': 255.0}


def normalised(frames: Frames, settings: Settings) -> Frames:
  """Frames as networks of ImageNet take them."""
  frames = frames / settings.white
  if settings.normalise == 'none':
    return frames
  mean, deviation = (x.astype(frames.dtype) for x in (MEAN, DEVIATION))
  return (frames - mean) / deviation


def normalised_difference(frames: Frames, settings: Settings) -> Frames:
  """Differences of two frames, as if both had been normalised."""
  frames = frames / settings.white
  if settings.normalise == 'none':
    return frames
  return frames / DEVIATION.astype(frames.dtype)
