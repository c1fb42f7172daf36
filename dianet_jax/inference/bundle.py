"""A bundle: trained networks, and how what they read is made of frames.

Nothing of training is needed to use one. `folder` writes and reads bundles.
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
  """What a bundle says of one clip.

  Attributes:
    clip: its frames as the bundle prepares them, key frames and warnings.
    probabilities: class -> calibrated probability, 0..1, in the bundle's order.
    inputs: a model's input -> what it read, float32, without the clip's axis.
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
  """Networks of one configuration, whose probabilities are averaged.

  Attributes:
    name: of the run that trained them.
    classes: names, in the order of the probabilities.
    data: how frames become what a model reads; of the training's section
      without paths.
    model: settings of the networks.
    members: variables of each network, float32.
    calibration: `temperature`, by which log-probabilities are divided, and
      where it comes from.
    facts: what the model card says besides: `training`, `result`, `versions`.
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
    """Name of each input -> its shape without the clips, float32."""
    return motion.specs(self.feed, self.data)

  @property
  def channels(self) -> dict[str, tuple[motion.Channel, ...]]:
    """Name of each input -> its channels; () for what is no image."""
    stored = data_sets.facts(self.data.dataset).stored
    return motion.channels(self.feed, self.data, stored)

  @property
  def views(self) -> dict[str, tuple[str, ...]]:
    """Name of each input -> what each of its views shows; () likewise."""
    return motion.views(self.feed, self.data)

  @functools.cached_property
  def network(self):
    """The model as a Linen module, computing in float32."""
    cls = models.MODELS[self.model.name]
    return cls(len(self.classes), self.model, jnp.dtype('float32'))

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
    """The inference form: no clip sees another, and layers are fast for one.

    For `jax.jit` and `jax.export`; the number of clips may be a symbol.

    Args:
      members: variables of each network.
      inputs: raw, as representations make them; they are scaled here.

    Returns:
      Logarithms of the mean probability over views and members, uncalibrated,
      in nats.
    """

    def of_one(inputs):
      batch = {name: values[None] for name, values in inputs.items()}
      logits = [self._outputs(v, batch).logits[0] for v in members]
      logs = jax.nn.log_softmax(jnp.concatenate(logits), axis=-1)
      return jax.nn.logsumexp(logs, axis=0) - jnp.log(len(logs))

    return jax.vmap(of_one)(dict(inputs))

  def _outputs(self, variables, inputs, **options):
    """A member's by raw inputs, in the inference form."""
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
    """Why a clip was given its most probable class."""
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
    """Calibrated class probabilities of clips by their raw inputs."""
    logs = np.asarray(self.log_probabilities_of(inputs))
    calibrated = logs / self.calibration['temperature']
    return np.asarray(jax.jit(jax.nn.softmax)(calibrated))

  def inputs_of(
    self, clip: segments.Clip
  ) -> dict[str, Float[np.ndarray, '...']]:
    """What the model reads of a clip, made as in training."""
    keys = [clip.onset, clip.apex, clip.offset]
    batch = inputs_lib.pad([clip.frames], [keys], 1)
    return {
      name: np.asarray(
        motion.REPRESENTATIONS[row](batch, self.data), np.float32
      )[0]
      for name, row in self.feed.items()
    }

  def predict_clip(self, clip: segments.Clip) -> Prediction:
    """Predicts a clip that `segments.take` has prepared by `data`."""
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
      frames: RGB, 0..255, raw as a camera gives them: the face is found,
        aligned and reduced as in training.
      fps: frames a second.
      onset: index of the first frame of the expression; None: the first frame.
      apex: index of its greatest extent; None: it is spotted.
      offset: index of its last frame; None: the last frame.

    Returns:
      Probabilities, key frames and warnings.

    Raises:
      UserError: key frames that are no indices in this order, one frame alone,
        no face in the onset frame, or no key frames in more than two seconds.
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
      path: of a video file, which has time stamps, or of a folder of frames.
      segment: the part that is the clip; by default all, if that is at most two
        seconds.
      fps: frames a second, of a folder.

    Raises:
      UserError: see `predict`; no video, or a damaged one.
    """
    source = video.Video(paths.normal(path, 'video'), fps)
    found = segments.take(source.name, source.frames(), segment, self.data)
    warnings = (*found.warnings, *source.warnings)
    return self.predict_clip(dataclasses.replace(found, warnings=warnings))
