"""Rules that involve several configuration keys, or a key and a registry.

Rules of a single key are declared with the key: in `core.config`, or in the
settings of its model or objective.
"""

from collections.abc import Iterator, Mapping
import re
from typing import Any

from dianet_jax.core.config import Config, Data, Parallel
from dianet_jax.models.registry import MODELS, frozen_part
from dianet_jax.motion import registry as motion
from dianet_jax.training import augment
from tfds_builders import registry as data_sets

# The results of more trainings would fill memory; no paper needs as many.
_MAX_TRAININGS_OF_A_FOLD = 1000

# (dotted key, whether its value is valid, what is expected)
Rule = tuple[str, bool, str]


def stored(dataset: str) -> str:
  """The representation whose images a data set stores.

  Args:
    dataset: name of a data set; '' for none.

  Returns:
    Its name; '' if the data set stores frames.
  """
  return data_sets.facts(dataset).stored if dataset else ''


def feed(config: Config) -> dict[str, str]:
  """The representations that the model reads.

  Args:
    config: with a valid model and valid `data.inputs`.

  Returns:
    Name of each input of the model -> name of its representation.
  """
  return motion.feed(MODELS[config.model.name].reads, config.data.inputs)


def unsupported(config: Config) -> str:
  """Explains why the data set cannot provide the inputs of the model.

  Args:
    config: with a valid model and valid `data.inputs`.

  Returns:
    The reason; '' if it can.
  """
  data = config.data
  return motion.unsupported(feed(config), data, stored(data.dataset))


def rules(config: Config) -> Iterator[Rule]:
  """Checks the rules of a configuration whose single keys are valid.

  Args:
    config: the configuration.

  Yields:
    All rules, also those that are fulfilled.

  Raises:
    UserError: the model or a representation is unknown, or the number of
      `data.inputs` is wrong.
  """
  data, chosen = config.data, feed(config)
  yield from _run_rules(config)
  yield from _data_rules(data)
  yield (
    'data.frame_order',
    data.frame_order == 'time' or 'dynamic_images' in chosen.values(),
    'time: no input is a dynamic image, pooled from ordered frames',
  )
  channels = motion.channels(chosen, data, stored(data.dataset))
  yield from _model_rules(config, chosen, channels)
  yield from _augment_rules(config, channels)
  units = {channel.unit for named in channels.values() for channel in named}
  yield (
    'data.scaling',
    data.scaling != 'grey_levels' or units <= {'', 'grey levels'},
    f'another: {" and ".join(sorted(units))} are no grey levels',
  )
  yield from _study_rules(config)
  yield from _parallel_rules(config.parallel)


def _model_rules(
  config: Config,
  chosen: Mapping[str, str],
  channels: Mapping[str, tuple[motion.Channel, ...]],
) -> Iterator[Rule]:
  model: Any = MODELS[config.model.name]
  specs = motion.specs(chosen, config.data)
  found = [*model.check(config.model, specs)]
  if getattr(model, 'knows_phases', False):
    phases = motion.phases(chosen, config.data).values()
    shown = [phase for own in phases for phase in own]
    found += model.check_phases(config.model, shown)
  # What a data set cannot provide is reported as that.
  if hasattr(model, 'check_channels') and not unsupported(config):
    found += model.check_channels(config.model, channels)
  for key, holds, expected in found:
    yield f'model.{key}', holds, expected


def _run_rules(config: Config) -> Iterator[Rule]:
  ensemble = config.evaluation.ensemble
  yield (
    'seeds',
    config.seeds * ensemble <= _MAX_TRAININGS_OF_A_FOLD,
    f'each fold to be trained at most {_MAX_TRAININGS_OF_A_FOLD} times, by'
    ' seeds * evaluation.ensemble',
  )
  largest = 2**31 // ensemble - config.seeds - 1
  yield 'seed', 0 <= config.seed <= largest, f'0 to {largest}'


def _data_rules(data: Data) -> Iterator[Rule]:
  images = stored(data.dataset)
  for key, off in (
    ('coefficients', 'rank'),
    ('offset_jitter_frames', 0),
    ('key_frame_search', 0.0),
    ('align', False),
  ):
    yield (
      f'data.{key}',
      not images or getattr(data, key) == off,
      f'{off}: {images} images of {data.dataset} are not pooled from frames',
    )
  yield (
    'data.train_on_annotated',
    data.train_on_annotated
    or (data.key_frame_search > 0 and not data.offset_jitter_frames),
    'true, or a data.key_frame_search above 0 without'
    ' data.offset_jitter_frames, which moves the annotated offset',
  )
  yield (
    'data.offset_jitter_frames',
    not data.offset_jitter_frames
    or not {'apex_offset', 'onset_offset'}.isdisjoint(data.phases),
    '0, or a phase in data.phases that ends at the offset',
  )
  yield (
    'data.frame_size',
    bool(images) or data.frame_size >= data.image_size,
    f'at least data.image_size={data.image_size}',
  )
  yield (
    'data.crop',
    not data.align or data.crop == (0, 0, 1, 1),
    'the whole frame, (0.0, 0.0, 1.0, 1.0), with --config.data.align=true',
  )


def _augment_rules(
  config: Config, channels: Mapping[str, tuple[motion.Channel, ...]]
) -> Iterator[Rule]:
  settings, size = config.train.augment, config.data.image_size
  yield (
    'train.augment.shift_pixels',
    settings.shift_pixels < size,
    f'0 to below data.image_size={size}',
  )
  if part := frozen_part(config.model):
    for key in ('flip_probability', 'shift_pixels', 'rotation_degrees'):
      yield (
        f'train.augment.{key}',
        not getattr(settings, key),
        f'0: the {part} of the model is not trained, so that what it returns is'
        ' computed once, from images as they are',
      )
  for named in channels.values():
    for key, expected in augment.refused(named, settings):
      yield f'train.augment.{key}', False, expected


def _study_rules(config: Config) -> Iterator[Rule]:
  study = config.study
  yield (
    'evaluation.protocol',
    study.kind != 'nested' or config.evaluation.protocol != 'cross_dataset',
    'leave_one_subject_out, with study.kind=nested',
  )
  yield (
    'study.kind',
    bool(study.kind) or not study.rows,
    'ablation or nested, because study.rows are given',
  )
  yield (
    'study.rows',
    bool(study.rows) or not study.kind,
    f"'name: key=value ...', one or more, with study.kind={study.kind!r}",
  )
  yield (
    'study.only',
    study.kind == 'ablation' or not study.only,
    f'(), with study.kind={study.kind!r}',
  )


def _parallel_rules(parallel: Parallel) -> Iterator[Rule]:
  alone = parallel.coordinator in ('', 'auto')
  yield (
    'parallel.coordinator',
    alone or re.fullmatch(r'.+:\d+', parallel.coordinator) is not None,
    "'' (one process), auto, or the address of process 0 as host:port",
  )
  processes = parallel.processes
  yield (
    'parallel.process',
    parallel.process < processes,
    f'0 to {processes - 1}, with --config.parallel.processes={processes}',
  )
