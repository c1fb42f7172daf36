"""Trains many folds, distributed over devices.

Arrays are [device, fold_on_device, ...].
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import stopping
from dianet_jax.data import folds as folds_lib
from dianet_jax.training import memory
from dianet_jax.training import programs as programs_lib
from dianet_jax.training.dispatch import DispatchLimit
from dianet_jax.training.group import Group, along, fold_arrays
from dianet_jax.training.results import (
  Diverged,
  FoldResult,
  History,
  Training,
  Unfinished,
)
from dianet_jax.training.state import Best, Data, Fold, State, Sums
from dianet_jax.training.trainer import Trainer

# Fraction of a device's memory for the states of its folds, by default. `vmap`
# also needs memory for the activations of all folds at once.
_STATES_OF_MEMORY = {'map': 0.5, 'vmap': 0.125, 'vmap_products': 0.0625}
# An unrolled program of many folds takes long to compile.
_MOST_UNROLLED = 4


class FoldParallel:
  """Trains folds in parallel: on all devices, several folds on each."""

  def __init__(
    self,
    trainer: Trainer,
    data: Data,
    folds: folds_lib.Folds,
    settings: configuration.Parallel,
    evaluation: configuration.Evaluation,
  ):
    """Copies the data to every device.

    Args:
      trainer: trains one fold.
      data: of all clips.
      folds: all folds of the run. The number that trains at once depends on
        all of them, not on those left, so that a resumed run has the same bits.
      settings: the `parallel` section.
      evaluation: the `evaluation` section, for `epochs` and `oracle`.
    """
    # During training: mean loss of the last fetched epoch, in nats.
    self.loss: float | None = None
    self._trainer, self._folds = trainer, folds
    self._chooses_epoch = evaluation.chooses_epoch
    self._oracle = evaluation.oracle
    self.devices = programs_lib.choose_devices(settings.devices)
    self.strategy = programs_lib.choose_strategy(
      settings.strategy, self.devices[0].platform
    )
    self._folds_per_device = settings.folds_per_device
    self._ahead = DispatchLimit()
    mesh = jax.sharding.Mesh(np.array(self.devices), ('device',))
    self._sharding = jax.sharding.NamedSharding(
      mesh, jax.sharding.PartitionSpec('device')
    )
    self._data = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), data
    )
    memory.check_data(data, self.shapes(0), self.devices)
    self._data = jax.tree.map(self._replicate, data)
    # One program per epoch; otherwise one per step.
    self._scans = self.strategy in programs_lib.SCANNING
    program = functools.partial(
      programs_lib.over_folds, strategy=self.strategy, devices=self.devices
    )
    self._init = program(trainer.init, shared=1)
    self._gather = program(trainer.gather, shared=1)
    # By whether they pretrain.
    stages = trainer, dataclasses.replace(trainer, pretrains=True)
    self._step = [program(one.next_step, donate=True) for one in stages]
    self._epoch = [program(one.epoch, shared=1, donate=True) for one in stages]
    self._predict = program(trainer.predict, shared=1)
    self._no_best = program(trainer.no_best)
    self._keep_best = program(trainer.keep_best, shared=1, donate=True)

  @property
  def made_by(self) -> str:
    """Dtype, strategy and kind of device, which affect rounding."""
    dtype = jnp.dtype(self._trainer.model.dtype or jnp.float32).name
    return f'{dtype}, {self.strategy}, {self.devices[0].device_kind}'

  def _replicate(self, array: np.ndarray) -> jax.Array:
    """Copies an array to each device, [device, ...]."""
    shape = (len(self.devices), *array.shape)
    return jax.device_put(np.broadcast_to(array, shape), self._sharding)

  def _put(self, tree: Any) -> Any:
    """Copies [fold, ...] to the devices as [device, fold_on_device, ...]."""
    devices = len(self.devices)

    def put(leaf):
      leaf = np.asarray(leaf)
      shape = (devices, len(leaf) // devices, *leaf.shape[1:])
      return jax.device_put(leaf.reshape(shape), self._sharding)

    return jax.tree.map(put, tree)

  @property
  def group_size(self) -> int:
    """Number of folds that train at once, however many are left."""
    devices = len(self.devices)
    if self.strategy == 'loop':
      return devices
    on_device = self._folds_per_device
    if not on_device:
      own = -(-len(self._folds) // jax.process_count())
      on_device = min(-(-own // devices), self._most_on_device())
    return on_device * devices

  def _most_on_device(self) -> int:
    if self.strategy == 'unroll':
      return _MOST_UNROLLED
    limit = (self.devices[0].memory_stats() or {}).get('bytes_limit')
    if not limit:
      return len(self._folds)
    states = limit * _STATES_OF_MEMORY[self.strategy]
    return max(int(states / memory.size(self.shapes(0))), 1)

  def _groups(self, done: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Yields the rows of each group, without padding, of equal progress."""
    size = self.group_size
    for progress in sorted(set(done), reverse=True):
      rows = [row for row, number in enumerate(done) if number == progress]
      for start in range(0, len(rows), size):
        yield rows[start : start + size]

  def _begin(
    self,
    folds: folds_lib.Folds,
    rows: list[int],
    unfinished: Mapping[tuple[int, str], Unfinished],
  ) -> Group:
    """A new or resumed group, padded with copies of its first fold."""
    size = self.group_size
    group = folds.select(rows + rows[:1] * (size - len(rows)))
    fold = self._put(fold_arrays(group))
    keys = list(zip(group.seeds, group.subjects))
    if keys[0] not in unfinished:
      state = self._init(self._data, fold)
      best = self._no_best(state) if self._chooses_epoch else None
      made_by = [(self.made_by,)] * len(rows)
      empty = self.shapes(0).history
      return Group(group, len(rows), fold, state, best, [], [], made_by, empty)
    first = unfinished[keys[0]]
    saved, partial = jax.tree.map(
      lambda *leaves: np.stack(leaves),
      *((unfinished[key].training, unfinished[key].partial) for key in keys),
    )
    state, best, sums = self._put(
      (saved.state, saved.best, along(partial, first.steps))
    )
    history = along(saved.history, first.epochs)
    made_by = [
      tuple(dict.fromkeys((*unfinished[key].made_by, self.made_by)))
      for key in keys[: len(rows)]
    ]
    empty = jax.tree.map(lambda leaf: leaf[0, :0], saved.history)
    return Group(
      group, len(rows), fold, state, best, sums, history, made_by, empty
    )

  def _run_epoch(
    self,
    state: State,
    fold: Fold,
    pretrains: bool = False,
    begun: Sequence[Sums] = (),
    stops: Callable[[], bool] = lambda: False,
  ) -> tuple[State, list[Sums], bool]:
    """Runs an epoch of every fold of a group, or the rest of one.

    Nothing is copied between host and devices.

    Args:
      state: of the group.
      fold: of the group.
      pretrains: whether it is an epoch of pretraining.
      begun: sums of the finished steps.
      stops: () -> whether to interrupt the epoch; called after every step.

    Returns:
      The state, the sums of all steps, and whether the epoch is complete.
    """
    with jax.transfer_guard('disallow'):
      if self._scans and not begun:
        state, sums = self._epoch[pretrains](self._data, state, fold)
        self._ahead.queued(sums)
        return state, [sums], True
      batches, all_sums = self._gather(self._data, state, fold), [*begun]
      while len(all_sums) < self._trainer.steps_per_epoch:
        state, sums = self._step[pretrains](state, fold, batches)
        self._ahead.queued(sums)
        all_sums.append(sums)
        if stops():
          break
    return state, all_sums, len(all_sums) == self._trainer.steps_per_epoch

  def _advance(self, group: Group) -> bool:
    """Dispatches an epoch, then waits for the previous one.

    Returns:
      Whether it is complete; a signal interrupts it between two steps.
    """
    pretrains = len(group.history) < self._trainer.pretraining_epochs
    group.state, sums, done = self._run_epoch(
      group.state, group.fold, pretrains, group.sums, stopping.asked
    )
    group.sums = [] if done else sums
    if not done:
      return False
    loss = oracle = None
    if self._chooses_epoch:
      group.best, loss = self._keep_best(
        self._data, group.best, group.state, group.fold
      )
    if self._oracle:
      oracle = self._predict(self._data, group.state.variables, group.fold)
    group.history.append((sums, loss, oracle))
    if len(group.history) > 1:
      group.fetch(-2)
      self.loss = group.mean_loss(-2)
    return True

  @property
  def epochs(self) -> int:
    """Number of epochs of each training."""
    return self._trainer.settings.epochs

  @property
  def parameters(self) -> int:
    """Number of trained parameters of one network."""
    leaves = jax.tree.leaves(self.shapes(1).state.params)
    return sum(leaf.size for leaf in leaves)

  @functools.cached_property
  def _state_shapes(self) -> State:
    """Shapes of one fold's state, cached: tracing takes most of a second."""
    fold = jax.tree.map(lambda leaf: leaf[0], fold_arrays(self._folds))
    data = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape[1:], jax.dtypes.canonicalize_dtype(leaf.dtype)
      ),
      self._data,
    )
    return jax.eval_shape(self._trainer.init, data, fold)

  def shapes(self, epochs: int) -> Training:
    """Zeros in the shapes and dtypes of a training saved after `epochs`."""
    state = self._state_shapes
    best = Best(np.zeros((), np.float32), state.variables)
    real, whole = np.zeros(epochs, np.float32), np.zeros(epochs, np.int32)
    history = History(loss=real, correct=whole, clips=whole)
    if self._chooses_epoch:
      history = dataclasses.replace(history, validation_loss=real)
    if self._oracle:
      clips = self._folds.test_index.shape[1]
      classes = self._trainer.model.num_classes
      oracle = np.zeros((epochs, clips, classes), np.float32)
      history = dataclasses.replace(history, oracle_probabilities=oracle)
    training = Training(state, best if self._chooses_epoch else None, history)
    return jax.tree.map(
      lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape),
      training,
    )

  def compile(self, folds: folds_lib.Folds) -> dict[str, jax.stages.Compiled]:
    """Compiles and keeps the programs of training, by name."""
    rows = next(self._groups([(0, 0)] * len(folds)))
    group = self._begin(folds, rows, {})
    state, fold, data = group.state, group.fold, self._data
    programs: dict[str, tuple[Any, ...]] = {
      'predict': (self._predict, data, state.variables, fold)
    }
    if not self._scans:
      batches = self._gather(data, state, fold)
      programs['gather'] = self._gather, data, state, fold
    for pretrains in self._trainer.stages:
      name = 'pretraining ' * pretrains
      if self._scans:
        programs[f'{name}epoch'] = self._epoch[pretrains], data, state, fold
      else:
        programs[f'{name}step'] = self._step[pretrains], state, fold, batches
    if self._chooses_epoch:
      programs['keep_best'] = self._keep_best, data, group.best, state, fold
    compiled = {
      name: program.lower(*arguments).compile()
      for name, (program, *arguments) in programs.items()
    }
    del group, state, fold, programs
    memory.check_programs(compiled, data, self.devices)
    return compiled

  def seconds_per_epoch(self, folds: folds_lib.Folds) -> float:
    """Times one epoch of one group and discards it; a mean with pretraining.

    With a program per step, only two steps are timed.
    """
    return sum(
      number / self.epochs * self._seconds(folds, pretrains)
      for pretrains, number in self._trainer.stages.items()
    )

  def _seconds(self, folds: folds_lib.Folds, pretrains: bool) -> float:
    rows = next(self._groups([(0, 0)] * len(folds)))
    group = self._begin(folds, rows, {})
    if self._scans:
      state, _, _ = self._run_epoch(group.state, group.fold, pretrains)
      jax.block_until_ready(state)
      start = time.perf_counter()
      jax.block_until_ready(self._run_epoch(state, group.fold, pretrains))
      return time.perf_counter() - start
    batches = self._gather(self._data, group.state, group.fold)
    state, _ = self._step[pretrains](group.state, group.fold, batches)
    jax.block_until_ready(state)
    start = time.perf_counter()
    for _ in range(2):
      state, _ = self._step[pretrains](state, group.fold, batches)
    jax.block_until_ready(state)
    seconds = (time.perf_counter() - start) / 2
    return seconds * self._trainer.steps_per_epoch

  def train(
    self,
    folds: folds_lib.Folds,
    on_epoch: Callable[[int, Callable[[], list[Unfinished]]], None] = (
      lambda folds_done, snapshot: None
    ),
    unfinished: Sequence[Unfinished] = (),
  ) -> Iterator[list[FoldResult | Diverged]]:
    """Trains every fold; yields the results of each group when it finishes.

    A fold whose loss becomes NaN or infinite is reported as diverged; the
    others continue.

    Args:
      folds: the folds to train.
      on_epoch: called after every epoch with the number of folds that finished
        it, and a function that copies their states to the host. After a signal
        also between two steps, with 0 folds.
      unfinished: saved states of those folds that are resumed.

    Yields:
      The results of one group, without padding.
    """
    begun = {(fold.seed, fold.subject): fold for fold in unfinished}
    # These may fill gigabytes, and are not needed once training resumes.
    del unfinished
    keys = list(zip(folds.seeds, folds.subjects))
    done = [begun[key].progress if key in begun else (0, 0) for key in keys]
    for rows in self._groups(done):
      group = self._begin(folds, rows, begun)
      for row in rows:
        begun.pop(keys[row], None)
      while len(group.history) < self.epochs:
        whole = self._advance(group)
        on_epoch(group.real if whole else 0, group.snapshot)
        if whole and all(group.diverged(len(group.history) - 1)):
          break
      yield self._results(group)
      # Free the group before the next one, because two may not fit.
      del group

  def _results(self, group: Group) -> list[FoldResult | Diverged]:
    """The result of each fold, without padding."""
    chosen = group.state if group.best is None else group.best
    probabilities = self._predict(self._data, chosen.variables, group.fold)
    return group.results(chosen.variables, probabilities)
