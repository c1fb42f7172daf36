"""Stored optical flow of the phases with CausalNet's position images."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core import config, errors
from dianet_jax.motion import phase_flow
from dianet_jax.motion.registry import ClipBatch

# Before the phase, in names of position images.
POSITION = 'position_'


class FlowAndPositions(phase_flow.PhaseFlow):
  """The views of `phase_flow`, then a position image of each phase.

  How the authors of CausalNet made the position images that they published is
  unknown: they resemble u and v (correlations of .44 to .68 with them), in 31
  levels, with an empty third channel. They are read, scaled and augmented like
  the images of flow. For frames, `model.position_images=derived` makes images
  like them.

  >>> POSITIONS.views(config.Data(phases=('onset_apex',)))
  ('onset to apex', 'positions, onset to apex')
  >>> POSITIONS.shape(config.Data(image_size=28))
  (4, 28, 28, 3)
  """

  title = 'position images'
  cached = False
  positions = True

  def unsupported(self, settings: config.Data, stored: str) -> str:
    """See `registry.Representation`."""
    if not stored:
      return f'{settings.dataset} holds frames, and position images are stored'
    if settings.phases != config.PHASES[:2]:
      # A single phase's position image would be taken for the other phase.
      return f'{self.title} are read with both phases, {config.PHASES[:2]}'
    return super().unsupported(settings, stored)

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel], position images last."""
    views, *image = super().shape(settings)
    return 2 * views, *image

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    titles = super().views(settings)
    return *titles, *(f'positions, {title}' for title in titles)

  def phases(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    return 2 * settings.phases

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[Array, 'clip view height width channel']:
    """See the class.

    Raises:
      MissingInputError: a clip has no position images.
    """
    positions = {
      phase: clips.stored[POSITION + phase]
      for phase in settings.phases
      if POSITION + phase in clips.stored
    }
    if len(positions) < len(settings.phases):
      raise errors.MissingInputError(
        f'--config.data.inputs={settings.inputs}: some clips in'
        f' {settings.manual_dir} have no position images. Add those files, or'
        ' set --config.data.inputs="(\'phase_flow\',)" and'
        ' --config.model.position_images=derived.'
      )
    of_positions = dataclasses.replace(clips, stored=positions)
    return jnp.concatenate(
      [
        super().__call__(clips, settings),
        super().__call__(of_positions, settings),
      ],
      axis=1,
    )


POSITIONS = FlowAndPositions()
