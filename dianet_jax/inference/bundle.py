"""A bundle: trained networks, and how their inputs are computed from frames.

Using a bundle needs no training code. `folder` writes and reads bundles.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8
import numpy as np

from dianet_jax.clips import segments, video
from dianet_jax.core import config, paths
from dianet_jax.data import inputs as inputs_lib
from dianet_jax.explanation import explainer
from dianet_jax.models import layers
from dianet_jax.models import registry as models
from dianet_jax.motion import registry as motion
from dianet_jax.motion import scaling
from tfds_builders import registry as data_sets


@dataclasses.dataclass(frozen=True)
class Prediction:
  """The prediction of a bundle for one clip.

  Attributes:
    clip: the preprocessed frames, key frames and warnings.
    probabilities: class -> calibrated probability, 0..1, in the bundle's order.
    inputs: name of each input of the model -> float32, without the clip axis.
  """

  clip: segments.Clip
  probabilities: Mapping[str, float]
  inputs: Mapping[str, Float[np.ndarray, '...']]

  @property
  def label(self) -> str:
    """The most probable class."""
    return max(self.probabilities, key=self.probabilities.__getitem__)


@dataclasses.dataclass(frozen=True)
class Bundle:
  """An ensemble of networks of one configuration, with averaged probabilities.

  Attributes:
    name: name of the run that trained the networks.
    classes: class names, in the order of the probabilities.
    data: preprocessing and representations: the `data` section of the training
      configuration, without paths.
    model: settings of the networks.
    members: variables of each network, float32.
    calibration: `temperature`, by which log-probabilities are divided, and how
      it was fitted.
    facts: further content of the model card: `training`, `result`, `versions`.
  """

  name: str
  classes: tuple[str, ...]
  data: config.Data
  model: config.Model
  members: tuple[Mapping[str, Any], ...]
  calibration: Mapping[str, Any]
  facts: Mapping[str, Any]

  @property
  def feed(self) -> dict[str, str]:
    """Name of each input of the model -> its representation."""
    return motion.feed(models.MODELS[self.model.name].reads, self.data.inputs)

  @property
  def specs(self) -> dict[str, jax.ShapeDtypeStruct]:
    """Name of each input -> its shape without the clip axis, float32."""
    return motion.specs(self.feed, self.data)

  @property
  def channels(self) -> dict[str, tuple[motion.Channel, ...]]:
    """Name of each input -> its channels; () if it is not an image."""
    stored = data_sets.facts(self.data.dataset).stored
    return motion.channels(self.feed, self.data, stored)

  @property
  def views(self) -> dict[str, tuple[str, ...]]:
    """Name of each input -> titles of its views; () if it is not an image."""
    return motion.views(self.feed, self.data)

  @functools.cached_property
  def network(self):
    """The model as a Linen module that computes in float32."""
    phases = motion.phases(self.feed, self.data)
    return models.build(
      len(self.classes), self.model, phases, jnp.dtype('float32')
    )

  def expected_variables(self) -> Mapping[str, Any]:
    """Shapes and dtypes that the variables of a member must have."""

    def init():
      blank = {
        name: jnp.zeros((1, *spec.shape), spec.dtype)
        for name, spec in self.specs.items()
      }
      return self.network.init(jax.random.key(0), blank)

    return jax.eval_shape(init)

  def log_probabilities(
    self,
    members: Sequence[Mapping[str, Any]],
    inputs: Mapping[str, Float[Array, 'clip ...']],
  ) -> Float[Array, 'clip class_']:
    """Uncalibrated log-probabilities, as a function for `jit` and `jax.export`.

    Clips are processed independently, by the layers' forms that are fast for
    one clip. The number of clips may be symbolic.

    Args:
      members: variables of each network.
      inputs: raw representations; they are scaled here.

    Returns:
      Logarithm of the mean probability over views and members, in nats.
    """

    def of_one(inputs):
      batch = {name: values[None] for name, values in inputs.items()}
      logits = [self._outputs(v, batch).logits[0] for v in members]
      logs = jax.nn.log_softmax(jnp.concatenate(logits), axis=-1)
      return jax.nn.logsumexp(logs, axis=0) - jnp.log(len(logs))

    return jax.vmap(of_one)(dict(inputs))

  def _outputs(self, variables, inputs, **options):
    """Outputs of one member for raw inputs, in inference mode."""
    scale, channels = scaling.SCALINGS[self.data.scaling], self.channels
    scaled = {
      name: scale(values) if channels[name] else values
      for name, values in inputs.items()
    }
    with layers.cpu.for_one_clip():
      return self.network.apply(variables, scaled, **options)

  @functools.cached_property
  def _explainer(self) -> explainer.Explainer:
    return explainer.Explainer(
      self.network,
      self._outputs,
      lambda _, inputs: self.probabilities(inputs),
      self.feed,
      self.channels,
    )

  def explain(self, prediction: Prediction) -> explainer.Explanation:
    """Explains the most probable class of a clip.

    Args:
      prediction: what `predict` returned.

    Returns:
      Evidence of face regions and attribution maps.

    Without motion, no region of the face is evidence.

    >>> import dianet_jax
    >>> black, steps = np.zeros((20, 56, 56, 3), np.uint8), np.arange(20)
    >>> clip = segments.Clip('c', black, steps, steps / 100, 9, 'given', ())
    >>> bundle = dianet_jax.load_bundle()
    >>> bundle.explain(bundle.predict_clip(clip)).bars()[0]
    ('brows', 0.0, '0.00 (+0.00 nats)')
    """
    class_ = self.classes.index(prediction.label)
    return self._explainer(self.members, prediction.inputs, class_)

  @functools.cached_property
  def _compiled(self):
    return jax.jit(self.log_probabilities)

  def log_probabilities_of(
    self, inputs: Mapping[str, Float[np.ndarray, 'clip ...']]
  ) -> Float[Array, 'clip class_']:
    """`log_probabilities` of this bundle's members, compiled."""
    return self._compiled(self.members, dict(inputs))

  def probabilities(
    self, inputs: Mapping[str, Float[np.ndarray, 'clip ...']]
  ) -> Float[np.ndarray, 'clip class_']:
    """Calibrated class probabilities of clips, from their raw inputs.

    Args:
      inputs: name of each input -> float32, of the shapes in `specs`.

    Returns:
      Float32, 0..1.

    >>> import dianet_jax
    >>> bundle = dianet_jax.load_bundle()
    >>> bundle.specs['dynamic_images'].shape  # phase, height, width, channel
    (2, 28, 28, 3)
    >>> still = {'dynamic_images': np.zeros((1, 2, 28, 28, 3), np.float32)}
    >>> probabilities = bundle.probabilities(still)
    >>> probabilities.shape, round(float(probabilities.sum()), 4)
    ((1, 3), 1.0)
    """
    logs = np.asarray(self.log_probabilities_of(inputs))
    calibrated = logs / self.calibration['temperature']
    return np.asarray(jax.jit(jax.nn.softmax)(calibrated))

  def inputs_of(
    self, clip: segments.Clip
  ) -> dict[str, Float[np.ndarray, '...']]:
    """Computes the model's inputs from a clip, as in training.

    Args:
      clip: prepared by `segments.take`.

    Returns:
      Name of each input -> float32, of the shapes in `specs`.

    The input of a clip without motion is exactly 0.

    >>> import dianet_jax
    >>> black, steps = np.zeros((20, 56, 56, 3), np.uint8), np.arange(20)
    >>> clip = segments.Clip('c', black, steps, steps / 100, 9, 'given', ())
    >>> bundle = dianet_jax.load_bundle()
    >>> images = bundle.inputs_of(clip)['dynamic_images']
    >>> images.shape, float(abs(images).max())
    ((2, 28, 28, 3), 0.0)
    """
    keys = [clip.onset, clip.apex, clip.offset]
    batch = inputs_lib.pad([clip.frames], [keys], 1)
    return {
      name: np.asarray(
        motion.REPRESENTATIONS[row](batch, self.data), np.float32
      )[0]
      for name, row in self.feed.items()
    }

  def predict_clip(self, clip: segments.Clip) -> Prediction:
    """Predicts a clip.

    Args:
      clip: prepared by `segments.take` with the bundle's `data`.

    >>> import dianet_jax
    >>> black, steps = np.zeros((20, 56, 56, 3), np.uint8), np.arange(20)
    >>> clip = segments.Clip('c', black, steps, steps / 100, 9, 'given', ())
    >>> bundle = dianet_jax.load_bundle()
    >>> list(bundle.predict_clip(clip).probabilities)
    ['negative', 'positive', 'surprise']
    """
    inputs = self.inputs_of(clip)
    [probs] = self.probabilities(
      {name: values[None] for name, values in inputs.items()}
    )
    named = dict(zip(self.classes, map(float, probs), strict=True))
    return Prediction(clip, named, inputs)

  def predict(
    self,
    frames: UInt8[np.ndarray, 'frame height width 3'],
    fps: float,
    onset: int | None = None,
    apex: int | None = None,
    offset: int | None = None,
  ) -> Prediction:
    """Predicts the class of one clip.

    Args:
      frames: RGB, 0..255, as recorded: the face is detected, aligned and
        resized as in training.
      fps: frames per second.
      onset: index of the first frame of the expression; None: the first frame.
      apex: index of the apex frame; None to spot it.
      offset: index of its last frame; None: the last frame.

    Returns:
      Probabilities, key frames and warnings.

    Raises:
      UserError: key frames are not ascending indices of frames; there is only
        one frame; no face is detected in the onset frame; or a source of more
        than two seconds has no key frames.

    A bundle without alignment needs no face, which keeps this example short:

    >>> import dianet_jax
    >>> bundle = dianet_jax.load_bundle()
    >>> data = dataclasses.replace(bundle.data, align=False, frame_size=56)
    >>> bundle = dataclasses.replace(bundle, data=data)
    >>> frames = np.zeros((20, 64, 64, 3), np.uint8)
    >>> prediction = bundle.predict(frames, fps=100, apex=9)
    >>> prediction.label in bundle.classes
    True
    >>> prediction.clip.apex, prediction.inputs['dynamic_images'].shape
    (9, (2, 28, 28, 3))
    """
    segment = segments.Segment(onset=onset, apex=apex, offset=offset)
    found = segments.take(
      'clip', segments.of_array(frames, fps), segment, self.data
    )
    return self.predict_clip(found)

  def predict_video(
    self,
    path: str | os.PathLike[str],
    segment: segments.Segment = segments.WHOLE,
    fps: float | None = None,
  ) -> Prediction:
    """Predicts the class of one clip of a video.

    Args:
      path: a video file, which has time stamps, or a folder of frames.
      segment: part of the video that is the clip; by default all of it, which
        may last at most two seconds.
      fps: frames per second of a folder; None for a video file.

    Returns:
      Probabilities, key frames and warnings.

    Raises:
      UserError: see `predict`; or the video cannot be read.

    A folder of black frames, read without alignment because it has no face:

    >>> import tempfile
    >>> import cv2
    >>> import dianet_jax
    >>> bundle = dianet_jax.load_bundle()
    >>> data = dataclasses.replace(bundle.data, align=False, frame_size=56)
    >>> bundle = dataclasses.replace(bundle, data=data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...   for number in range(20):
    ...     _ = cv2.imwrite(f'{folder}/{number}.png', np.zeros((64, 64, 3)))
    ...   prediction = bundle.predict_video(folder, fps=100)
    >>> prediction.clip.warnings[1]
    'nothing moves: the middle frame is used as the apex'
    """
    source = video.Video(paths.normal(path, 'video'), fps)
    found = segments.take(source.name, source.frames(), segment, self.data)
    warnings = (*found.warnings, *source.warnings)
    return self.predict_clip(dataclasses.replace(found, warnings=warnings))
