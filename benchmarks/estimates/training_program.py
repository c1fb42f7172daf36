"""What training costs on a TPU that is not here, or on the device that is.

The programs are those that `FoldParallel` runs, of the default configuration,
on data of the shape of CASME II: 246 clips of 26 subjects, all of nearly as
many clips. `tpu_compile` prints what this finds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import dataclasses
import functools
import math

import jax
from jax.experimental import topologies
import jax.extend
import jax.numpy as jnp
import numpy as np

from benchmarks.estimates import compile_ahead, hlo_cost
from dianet_jax.core import config as configuration
from dianet_jax.core import runtime
from dianet_jax.data import folds as folds_lib
from dianet_jax.models.dianet import DIANet
from dianet_jax.motion import registry as motion
from dianet_jax.training import objectives
from dianet_jax.training import parallel as parallel_lib
from dianet_jax.training import programs as programs_lib
from dianet_jax.training import trainer as trainer_lib
from dianet_jax.training.group import fold_arrays
from dianet_jax.training.state import Data, Fold, State

CLIPS, SUBJECTS, CLASSES = 246, 26, 5
# On one device at once, except by `loop`.
FOLDS = 4
STRATEGIES = ('loop', 'unroll', 'map', 'vmap')
# Published, bfloat16, operations a second.
_PEAKS = {
  'TPU v5 lite': compile_ahead.CHIPS['v5e'].peak,
  'TPU v6 lite': compile_ahead.CHIPS['v6e'].peak,
  'NVIDIA H100 80GB HBM3': 989e12,
}
# Of each parameter AdamW reads and writes the value and two moments, float32.
_OPTIMISER_BYTES = 2 * 3 * 4


@dataclasses.dataclass(frozen=True)
class Cost:
  """What one step of one fold costs, its share of the epoch's gather included.

  Attributes:
    seconds: by the roof of `hlo_cost`, or measured.
    raw_seconds: by the compiler's cycles; None where measured.
    bytes: of memory, arguments and temporary, all folds.
  """

  seconds: float
  raw_seconds: float | None
  bytes: int


@dataclasses.dataclass(frozen=True)
class Problem:
  """What is trained, on what.

  Attributes:
    trainer: of the network and the settings.
    folds: leave one subject out.
    data: of the inputs only shapes and dtypes.
    size: of the images, pixels a side.
  """

  trainer: trainer_lib.Trainer
  folds: folds_lib.Folds
  data: Data
  size: int

  @property
  def clips_per_step(self) -> float:
    """Of the slots of a step those that hold a clip, mean over the folds."""
    clips = self.folds.train_valid.sum(axis=1).mean()
    return float(clips) / self.trainer.steps_per_epoch

  @property
  def step_flops(self) -> float:
    """Of the network in one step, gradients counted as twice the forward pass.

    So it is usually counted; the gradient of the images, 2 % of it for a
    ResNet-18, is not needed and not computed.
    """
    model, key = self.trainer.model, jax.random.key(0)
    clip = {
      name: jnp.zeros((1, *leaf.shape[2:]), leaf.dtype)
      for name, leaf in self.data.inputs.items()
    }
    variables = jax.eval_shape(model.init, key, clip)
    once = flops(jax.make_jaxpr(model.apply)(variables, clip).jaxpr)
    return 3 * once * self.clips_per_step

  @property
  def parameters(self) -> int:
    """How many numbers the optimiser changes."""
    state = self.untrained(fold_arrays(self.folds.select([0])))
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))

  def untrained(self, fold: Fold) -> State:
    """Shapes of the states of folds, [fold, ...]."""
    return jax.eval_shape(
      jax.vmap(self.trainer.init, (None, 0)), self.data, fold
    )


def default_problem(
  device_platform: str, size: int, batch: int, backbone: str = 'resnet18'
) -> Problem:
  """The default configuration.

  Args:
    device_platform: tpu, gpu or cpu; the type of the computation follows.
    size: of the images, pixels a side.
    batch: `train.batch_size`.
    backbone: a key of `dianet.BACKBONES`.
  """
  data = configuration.Data(image_size=size)
  fed = motion.feed(DIANet.reads, data.inputs)
  inputs = {
    name: jax.ShapeDtypeStruct((1, CLIPS, *spec.shape), spec.dtype)
    for name, spec in motion.specs(fed, data).items()
  }
  labels = (np.arange(CLIPS) % CLASSES).astype(np.int32)
  folds = folds_lib.leave_one_subject_out(
    [f'{clip % SUBJECTS:02}' for clip in range(CLIPS)], labels, CLASSES
  )
  dtype = runtime.compute_dtype('auto', device_platform)
  trainer = trainer_lib.Trainer(
    DIANet(CLASSES, DIANet.Settings(backbone=backbone), jnp.dtype(dtype)),
    objectives.CrossEntropy(),
    configuration.Train(batch_size=batch),
    data.scaling,
    motion.channels(fed, data, ''),
    folds.train_index.shape[1],
  )
  return Problem(trainer, folds, Data(inputs, labels), size)


def flops(jaxpr: jax.extend.core.Jaxpr) -> int:
  """Multiplications and additions of matrix products and convolutions.

  Products with padding count. Of forms for several platforms the default one
  counts: those for a CPU compute more or fewer. What a loop does counts once.
  """
  return sum(map(_equation_flops, jaxpr.eqns))


def _equation_flops(equation) -> int:
  name, params = equation.primitive.name, equation.params
  if name == 'dot_general':
    (contracted, _), _ = params['dimension_numbers']
    left, out = equation.invars[0].aval, equation.outvars[0].aval
    return 2 * out.size * math.prod(left.shape[axis] for axis in contracted)
  if name == 'conv_general_dilated':
    kernel, out = equation.invars[1].aval, equation.outvars[0].aval
    features = params['dimension_numbers'].rhs_spec[0]
    return 2 * out.size * kernel.size // kernel.shape[features]
  if name == 'cond':
    return flops(params['branches'][-1].jaxpr)
  return sum(map(flops, jax.extend.core.jaxprs_in_params(params)))


def _programs(
  problem: Problem, strategy: str, device: jax.Device
) -> Iterator[tuple[int, jax.stages.Compiled]]:
  """Each program of an epoch, and how often it runs."""
  trainer = problem.trainer
  folds = 1 if strategy == 'loop' else FOLDS
  fold = fold_arrays(problem.folds.select(range(folds)))
  state = problem.untrained(fold)
  batches = jax.eval_shape(
    jax.vmap(trainer.gather, (None, 0, 0)), problem.data, state, fold
  )
  data, state, fold, batches = _on_one_device(
    (problem.data, state, fold, batches)
  )
  # As `FoldParallel` makes them.
  program = functools.partial(
    programs_lib.over_folds, strategy=strategy, devices=(device,)
  )
  if strategy in programs_lib.SCANNING:
    epoch = program(trainer.epoch, shared=1, donate=True)
    yield 1, epoch.lower(data, state, fold).compile()
    return
  gather = program(trainer.gather, shared=1)
  yield 1, gather.lower(data, state, fold).compile()
  step = program(trainer.next_step, donate=True)
  yield trainer.steps_per_epoch, step.lower(state, fold, batches).compile()


def _on_one_device(tree):
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), tree
  )


def estimated(
  problem: Problem,
  strategy: str,
  topology: topologies.TopologyDescription,
  chip: hlo_cost.Chip,
) -> Cost:
  """By the TPU compiler, for one device of a topology."""
  roof = raw = memory = 0
  for times, compiled in _programs(problem, strategy, topology.devices[0]):
    cost = hlo_cost.program_cost(compiled.as_text(), chip)
    roof += times * cost.hidden_seconds(chip)
    raw += times * cost.raw_seconds(chip)
    memory = max(memory, memory_of(compiled))
  steps = problem.trainer.steps_per_epoch
  steps *= 1 if strategy == 'loop' else FOLDS
  return Cost(roof / steps, raw / steps, memory)


def measured(problem: Problem, strategy: str, repeats: int = 3) -> Cost:
  """On this process's first device; without the gather of loop and unroll.

  Random images; the fastest of some repeats.
  """
  rng = np.random.default_rng(0)
  inputs = {
    name: rng.normal(size=leaf.shape).astype(leaf.dtype)
    for name, leaf in problem.data.inputs.items()
  }
  parallel = parallel_lib.FoldParallel(
    problem.trainer,
    problem.data.replace(inputs=inputs),
    problem.folds,
    configuration.Parallel(
      devices=1, strategy=strategy, folds_per_device=FOLDS
    ),
    configuration.Evaluation(),
  )
  programs = parallel.compile(problem.folds)
  training = (programs[name] for name in ('epoch', 'step') if name in programs)
  memory = max(map(memory_of, training))
  seconds = min(
    parallel.seconds_per_epoch(problem.folds) for _ in range(repeats)
  )
  steps = problem.trainer.steps_per_epoch
  steps *= parallel.group_size
  return Cost(seconds / steps, None, memory)


def memory_of(compiled: jax.stages.Compiled) -> int:
  """Bytes of a program's arguments and work."""
  memory = compiled.memory_analysis()
  return memory.argument_size_in_bytes + memory.temp_size_in_bytes


def print_estimates(
  chips: Iterable[str], sizes: Iterable[int], batch: int, strategies: list[str]
) -> None:
  """A table a chip and size; every row takes minutes to compile."""
  for name in chips:
    if unfit := compile_ahead.unfit_for(name):
      print(unfit)
      continue
    chip = compile_ahead.CHIPS[name]
    topology = compile_ahead.tpu_topology(name)
    for size in sizes:
      problem = default_problem('tpu', size, batch)
      print(f'\n{name}, {_described(problem)}. ESTIMATES')
      print(_ceiling(problem, chip))
      print_rows(
        problem,
        {
          strategy: functools.partial(
            estimated, problem, strategy, topology, chip
          )
          for strategy in strategies
        },
        chip.peak,
      )


def print_measured(
  sizes: Iterable[int],
  batch: int,
  strategies: list[str],
  backbone: str = 'resnet18',
) -> None:
  """A table a size, on the device that is here."""
  device = jax.devices()[0]
  for size in sizes:
    problem = default_problem(device.platform, size, batch, backbone)
    print(f'\n{device.device_kind}, {_described(problem)}. MEASURED')
    print_rows(
      problem,
      {
        strategy: functools.partial(measured, problem, strategy)
        for strategy in strategies
      },
      _PEAKS.get(device.device_kind),
    )


def _described(problem: Problem) -> str:
  trainer, model = problem.trainer, problem.trainer.model
  return (
    f'{model.settings.backbone}, {problem.size} px, '
    f'{jnp.dtype(model.dtype).name}, steps of {problem.clips_per_step:.1f} '
    f'clips in {trainer.slots} slots, {FOLDS} folds'
  )


def _ceiling(problem: Problem, chip: hlo_cost.Chip) -> str:
  products = problem.step_flops / chip.peak
  moved = _OPTIMISER_BYTES * problem.parameters
  optimiser = moved / chip.bandwidth
  return (
    f'floor: {problem.step_flops / 1e9:.0f} GFLOP at {chip.peak / 1e12:.0f} '
    f'TFLOP/s {1e3 * products:.2f} ms, AdamW {moved / 1e6:.0f} MB at '
    f'{chip.bandwidth / 1e9:.0f} GB/s {1e3 * optimiser:.2f} ms; one after the '
    f'other at most {100 * products / (products + optimiser):.0f} % MFU'
  )


def print_rows(
  problem: Problem,
  costs: Mapping[str, Callable[[], Cost]],
  peak: float | None,
) -> None:
  """A table as its rows come.

  Args:
    problem: what is trained.
    costs: what finds the cost, by strategy; 'loop', to which the others are
      compared, comes first.
    peak: operations a second; None where it is not known.
  """
  print(
    f'{"ms a fold and step":<20}{"ms":>8}{"raw":>8}{"MFU %":>8}{"raw":>6}'
    f'{"/loop":>8}{"memory MB":>11}'
  )
  single = None
  for strategy, cost_of in costs.items():
    cost = cost_of()
    if strategy == 'loop':
      single = cost.seconds
    raw = cost.raw_seconds
    fields = (
      f'{1e3 * cost.seconds:8.2f}',
      f'{1e3 * raw:8.2f}' if raw else f'{"-":>8}',
      *(
        f'{100 * problem.step_flops / (time * peak):{width}.0f}'
        if time and peak
        else f'{"-":>{width}}'
        for time, width in ((cost.seconds, 8), (raw, 6))
      ),
      f'{cost.seconds / single:8.2f}' if single else f'{"-":>8}',
      f'{cost.bytes / 1e6:11.0f}',
    )
    print(f'{strategy:<20}' + ''.join(fields), flush=True)
