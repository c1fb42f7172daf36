"""The measurements of `accelerator`, each a function that yields rows."""

from collections.abc import Callable, Iterator
import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.estimates import training_program
from benchmarks.peers import rank_pooling_forms
from dianet_jax.core import config as configuration
from dianet_jax.core import runtime
from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import configuration as configurations
from dianet_jax.models import registry as models
from dianet_jax.motion import optical_flow
from dianet_jax.motion import registry as motion
from dianet_jax.training import build, tuning
from dianet_jax.training import parallel as parallel_lib
from dianet_jax.training.state import Data

# What was measured, and its figures.
Row = tuple[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Size:
  """How much is done: on an accelerator, or in miniature to try the program.

  Attributes:
    megabytes: of the buffer that is copied.
    matrix: rows of the product.
    clips: that are pooled: number, frames, pixels a side.
    flow: pairs, pixels a side.
    networks: name -> model, changes to its configuration.
    subjects: of the folds.
    clips_per_subject: of each.
    folds: at once on a device.
    strategies: that are measured.
  """

  megabytes: int
  matrix: int
  clips: tuple[tuple[int, int, int], ...]
  flow: tuple[int, int]
  networks: dict[str, tuple[str, dict[str, Any]]]
  subjects: int
  clips_per_subject: int
  folds: int
  strategies: tuple[str, ...]


_COMPACT = {
  'data.image_size': 28,
  'model.backbone': 'compact',
  'model.pool': 'flatten',
}
FULL = Size(
  megabytes=4096,
  matrix=16384,
  clips=((8, 64, 224), (8, 256, 224), (1, 1000, 224)),
  flow=(64, 224),
  networks={
    'compact, 28 px': ('dianet', _COMPACT),
    'ResNet-18, 112 px': ('dianet', {'data.image_size': 112}),
    'SLSTT': ('slstt', {}),
  },
  subjects=26,
  clips_per_subject=9,
  folds=8,
  strategies=tuning.STRATEGIES,
)
MINIATURE = Size(
  megabytes=1,
  matrix=64,
  clips=((1, 4, 16),),
  flow=(1, 16),
  networks={
    'compact, 12 px': (
      'dianet',
      _COMPACT | {'data.image_size': 12, 'model.widths': (4,)},
    )
  },
  subjects=3,
  clips_per_subject=2,
  folds=1,
  strategies=('loop', 'map'),
)


def seconds_of(call: Callable[[], Any], least: float = 0.3) -> float:
  """The fastest of five calls or more; the first one compiles."""
  jax.block_until_ready(call())
  times = []
  while len(times) < 5 or sum(times) < least:
    start = time.perf_counter()
    jax.block_until_ready(call())
    times.append(time.perf_counter() - start)
  return min(times)


def ceilings(size: Size) -> Iterator[Row]:
  """Copying within the device, and a product of bfloat16 matrices."""
  buffer = jnp.zeros(size.megabytes * 10**6, jnp.uint8)
  copy = jax.jit(lambda x: x + jnp.uint8(1))
  gb = 2 * buffer.nbytes / seconds_of(lambda: copy(buffer)) / 1e9
  yield 'copy in memory', {'GB/s': round(gb, 1)}
  matrix = jnp.ones((size.matrix, size.matrix), jnp.bfloat16)
  product = jax.jit(jnp.matmul)
  flops = 2 * size.matrix**3 / seconds_of(lambda: product(matrix, matrix))
  yield 'bfloat16 product', {'TFLOP/s': round(flops / 1e12, 1)}
  host = np.zeros(size.megabytes * 10**6, np.uint8)
  gb = host.nbytes / seconds_of(lambda: jax.device_put(host)) / 1e9
  yield 'copy from the host', {'GB/s': round(gb, 1)}


def pooling(size: Size) -> Iterator[Row]:
  """Rank pooling beside the copy of a buffer, which reads and writes it."""
  ceiling = next(ceilings(size))[1]['GB/s']
  for clips, frames, pixels in size.clips:
    call = rank_pooling_forms.our_call(
      rank_pooling_forms.make_clips(clips, frames, pixels)
    )
    seconds = seconds_of(call)
    gb = clips * frames * pixels**2 * 3 / seconds / 1e9
    yield (
      f'rank pooling, {clips} x {frames} x {pixels}^2',
      {
        'GB/s of frames': round(gb, 1),
        'clips/s': round(clips / seconds),
        'share of the copy': round(gb / ceiling, 3) if ceiling else None,
      },
    )


def flow(size: Size) -> Iterator[Row]:
  """TV-L1 optical flow."""
  pairs, pixels = size.flow
  rng = np.random.default_rng(0)
  first, second = (
    jnp.asarray(rng.uniform(0, 255, (pairs, pixels, pixels)), jnp.float32)
    for _ in range(2)
  )
  call = jax.jit(optical_flow.tv_l1)
  seconds = seconds_of(lambda: call(first, second))
  yield f'TV-L1, {pixels}^2', {'pairs/s': round(pairs / seconds, 1)}


@dataclasses.dataclass(frozen=True)
class Case:
  """A network on random clips, ready to be trained."""

  config: configuration.Config
  data: Data
  folds: folds_lib.Folds
  channels: Any

  @classmethod
  def of(cls, size: Size, name: str) -> 'Case':
    """A network of `size` by its name."""
    model, changes = size.networks[name]
    values = configurations.default(model).to_dict()
    config = configurations.from_mapping(
      configurations.changed(values, changes | {'data.dataset': 'casme2'})
    )
    reads = models.MODELS[model].reads
    fed = motion.feed(reads, config.data.inputs)
    clips = size.subjects * size.clips_per_subject
    rng = np.random.default_rng(0)
    inputs = {
      key: rng.normal(size=(1, clips, *spec.shape)).astype(spec.dtype)
      for key, spec in motion.specs(fed, config.data).items()
    }
    labels = (np.arange(clips) % 3).astype(np.int32)
    folds = folds_lib.leave_one_subject_out(
      [f'{clip % size.subjects:02}' for clip in range(clips)], labels, 3
    )
    channels = motion.channels(fed, config.data, '')
    return cls(config, Data(inputs, labels), folds, channels)

  def trainer(self, dtype: str = 'auto'):
    """Of the network, to compute in a type."""
    name = runtime.compute_dtype(dtype, jax.devices()[0].platform)
    width = self.folds.train_index.shape[1]
    return build.make_trainer(
      self.config, 3, self.channels, width, jnp.dtype(name)
    )

  def program(self, dtype: str = 'auto', **parallel: Any):
    """What trains it."""
    return parallel_lib.FoldParallel(
      self.trainer(dtype),
      self.data,
      self.folds,
      configuration.Parallel(**parallel),
      configuration.Evaluation(),
    )


def training(case: Case, peak: float | None, **parallel: Any) -> dict[str, Any]:
  """Time, rate, share of the peak and memory of training.

  Args:
    case: what is trained.
    peak: operations a second of a device, to compare with.
    **parallel: of the `parallel` section.
  """
  program = case.program(**parallel)
  start = time.perf_counter()
  compiled = program.compile(case.folds)
  ready = time.perf_counter() - start
  seconds = min(program.seconds_per_epoch(case.folds) for _ in range(3))
  trainer = case.trainer()
  steps = trainer.steps_per_epoch * program.group_size
  problem = training_program.Problem(trainer, case.folds, case.data, 0)
  flops = problem.step_flops * steps / len(program.devices)
  bytes_ = max(map(training_program.memory_of, compiled.values()))
  clips = case.folds.train_valid.sum(axis=1).mean() * program.group_size
  return {
    'ms a step and fold': round(1000 * seconds / steps, 3),
    'clips/s': round(float(clips) / seconds),
    'MFU': round(flops / seconds / peak, 4) if peak else None,
    'memory MB': round(bytes_ / 1e6),
    'compile s': round(ready, 1),
    'at once': program.group_size,
  }


def strategies(size: Size, name: str) -> Iterator[Row]:
  """Every strategy on one network, on one device."""
  case, peak = Case.of(size, name), matrix_peak(size)
  for strategy in size.strategies:
    yield (
      f'{name}, {strategy}',
      training(
        case,
        peak,
        devices=1,
        strategy=strategy,
        folds_per_device=size.folds,
      ),
    )


@functools.cache
def _peak(matrix: int) -> float:
  ones = jnp.ones((matrix, matrix), jnp.bfloat16)
  product = jax.jit(jnp.matmul)
  return 2 * matrix**3 / seconds_of(lambda: product(ones, ones))


def matrix_peak(size: Size) -> float:
  """Operations a second that a product of matrices reaches here."""
  return _peak(size.matrix)


def scaling(size: Size) -> Iterator[Row]:
  """The first network on one device, two, four, ... all of them."""
  name = next(iter(size.networks))
  case, number = Case.of(size, name), 1
  while number <= len(jax.devices()):
    row = training(
      case,
      None,
      devices=number,
      strategy=size.strategies[0],
      folds_per_device=size.folds,
    )
    yield f'{name}, {number} device(s)', row
    number *= 2


def types(size: Size) -> Iterator[Row]:
  """What bfloat16 changes: predictions of one fold after two epochs."""
  name = next(iter(size.networks))
  case = Case.of(size, name)
  train = dataclasses.replace(case.config.train, epochs=2)
  case = dataclasses.replace(
    case, config=dataclasses.replace(case.config, train=train)
  )
  found = []
  for dtype in ('float32', 'bfloat16'):
    program = case.program(dtype, devices=1, strategy='loop')
    [[result]] = program.train(case.folds.select([0]))
    found.append(result)
  one, two = found
  yield (
    f'{name}, float32 against bfloat16',
    {
      'loss float32': round(float(one.loss[-1]), 4),
      'loss bfloat16': round(float(two.loss[-1]), 4),
      'largest difference of a probability': round(
        float(np.abs(one.probabilities - two.probabilities).max()), 4
      ),
    },
  )
