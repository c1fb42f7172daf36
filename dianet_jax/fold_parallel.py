"""Folds over devices: the one file that knows the fold axis and `jax.pmap`.

Arrays here are [device, fold_on_device, ...]. Folds never speak to each other:
no program has a collective.
"""

from collections.abc import Callable, Iterator
import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dianet_jax import config as configuration
from dianet_jax import errors, train
from dianet_jax import folds as folds_lib


@dataclasses.dataclass(frozen=True)
class FoldResult:
  """One trained fold, on the host.

  Attributes:
    subject: the held-out subject.
    seed: of this training.
    variables: parameters and batch statistics.
    loss: float32 [epoch], mean over the training clips, in nats.
    accuracy: float32 [epoch], share of training clips, augmented, in training.
    test_index: int32 [clip], the held-out subject's clips.
    probabilities: float32 [clip, class], of those clips.
    validation_loss: float32 [epoch], on the clips set aside, in nats; None
      where none are. The first of the lowest gave variables and probabilities.
    oracle_probabilities: float32 [epoch, clip, class], of the held-out clips
      after every epoch; None unless asked for. For the oracle figure alone.
  """

  subject: str
  seed: int
  variables: dict[str, Any]
  loss: np.ndarray
  accuracy: np.ndarray
  test_index: np.ndarray
  probabilities: np.ndarray
  validation_loss: np.ndarray | None = None
  oracle_probabilities: np.ndarray | None = None

  @property
  def epoch(self) -> int:
    """The epoch that predicts, from 1."""
    if self.validation_loss is None:
      return len(self.loss)
    return int(np.argmin(self.validation_loss)) + 1


def choose_devices(number: int) -> list[jax.Device]:
  """The first `number` devices, 0 for all; UserError if there are fewer."""
  devices = jax.local_devices()
  if not 0 <= number <= len(devices):
    raise errors.UserError(
      f'--config.parallel.devices={number}, but jax sees {len(devices)}'
      f' {devices[0].platform} device(s). 0 uses all.'
    )
  return devices[: number or None]


def choose_strategy(strategy: str, platform: str) -> str:
  """The strategy by which the folds of one device run.

  On a CPU a loop of single steps: gradients of convolutions inside a compiled
  loop run five times slower there, and vmap is bound by memory. Elsewhere one
  program, `map` over folds around a scan over steps.
  """
  if strategy != 'auto':
    return strategy
  return 'loop' if platform == 'cpu' else 'map'


def _within_device(strategy: str, one_fold: Callable) -> Callable:
  """`one_fold(*arguments)` for arguments with a leading fold axis."""
  if strategy == 'vmap':
    return jax.vmap(one_fold)
  if strategy == 'map':
    return lambda *args: jax.lax.map(lambda fold: one_fold(*fold), args)

  def single(*args):
    result = one_fold(*jax.tree.map(lambda leaf: leaf[0], args))
    return jax.tree.map(lambda leaf: leaf[None], result)

  return single


class FoldParallel:
  """Trains folds side by side: devices x folds on each device at once."""

  def __init__(
    self,
    trainer: train.Trainer,
    images: np.ndarray,
    labels: np.ndarray,
    settings: configuration.Parallel,
    evaluation: configuration.Evaluation,
  ):
    """Puts the data on every device.

    Args:
      trainer: what is the same in every fold.
      images: float32 [clip, phase, height, width, channel], raw.
      labels: int32 [clip].
      settings: the `parallel` section.
      evaluation: the `evaluation` section; of it `epochs` and `oracle`.
    """
    self._trainer = trainer
    self._chooses_epoch = evaluation.epochs == 'inner_split'
    self._oracle = evaluation.oracle
    self.devices = choose_devices(settings.devices)
    self.strategy = choose_strategy(settings.strategy, self.devices[0].platform)
    # `loop` is one fold at a time on a device, whatever the setting.
    self._folds_per_device = (
      1 if self.strategy == 'loop' else settings.folds_per_device
    )
    self._data = tuple(map(self._replicate, (images, labels)))
    self._init = self._program(lambda data, fold: trainer.init(fold, data[0]))
    self._order = self._program(lambda data, *args: trainer.order(*args))
    self._step = self._program(
      lambda data, state, fold, *batch: trainer.step(
        state, fold, *data, *batch
      ),
      donate_state=True,
    )
    self._epoch = self._program(
      lambda data, state, fold, epoch: trainer.epoch(state, fold, *data, epoch),
      donate_state=True,
    )
    self._predict = self._program(
      lambda data, variables, fold: trainer.predict(
        variables, data[0], fold.test_index
      )
    )
    self._no_best = self._program(
      lambda data, state: train.Best(
        jnp.float32(jnp.inf), jax.tree.map(jnp.zeros_like, state.variables)
      )
    )
    self._keep_best = self._program(
      lambda data, best, state, fold: trainer.keep_best(
        best, state, fold, *data
      ),
      donate_state=True,
    )

  def _replicate(self, array: np.ndarray) -> jax.Array:
    """[device, ...], one copy on each device."""
    mesh = jax.sharding.Mesh(np.array(self.devices), ('device',))
    sharding = jax.sharding.NamedSharding(
      mesh, jax.sharding.PartitionSpec('device')
    )
    shape = (len(self.devices), *array.shape)
    return jax.device_put(np.broadcast_to(array, shape), sharding)

  def _program(
    self, one_fold: Callable, donate_state: bool = False
  ) -> Callable:
    """`one_fold(data, *arguments)`, over all devices and their folds."""

    def on_device(data, *arguments):
      return _within_device(self.strategy, lambda *fold: one_fold(data, *fold))(
        *arguments
      )

    # The only place where devices are spread over.
    program = jax.pmap(
      on_device,
      devices=self.devices,
      donate_argnums=(1,) if donate_state else (),
    )
    return lambda *arguments: program(self._data, *arguments)

  def _lay_out(self, leaf: np.ndarray) -> np.ndarray:
    """[fold, ...] -> [device, fold_on_device, ...]."""
    devices = len(self.devices)
    return leaf.reshape(devices, len(leaf) // devices, *leaf.shape[1:])

  def group_size(self, num_folds: int) -> int:
    """How many folds train at once."""
    on_device = self._folds_per_device or -(-num_folds // len(self.devices))
    return on_device * len(self.devices)

  def _groups(self, folds: folds_lib.Folds) -> Iterator[list[int]]:
    """Rows of each group; the last is padded by repeating its first row."""
    size = self.group_size(len(folds))
    for start in range(0, len(folds), size):
      rows = list(range(start, min(start + size, len(folds))))
      yield rows + [rows[0]] * (size - len(rows))

  def _fold_arguments(
    self, folds: folds_lib.Folds, rows: list[int]
  ) -> train.Fold:
    group = folds.select(rows)
    fold = train.Fold(
      seed=np.array(group.seeds, np.uint32),
      subject_hash=group.subject_hash,
      train_index=group.train_index,
      train_valid=group.train_valid,
      validation_index=group.validation_index,
      validation_valid=group.validation_valid,
      test_index=group.test_index,
      class_weights=group.class_weights,
    )
    return jax.tree.map(self._lay_out, fold)

  def _run_epoch(self, state, fold, epoch: int):
    """One epoch of every fold of a group -> state, list of sums to add."""
    shape = fold.seed.shape
    number = np.full(shape, epoch, np.int32)
    if self.strategy != 'loop':
      state, sums = self._epoch(state, fold, number)
      return state, [sums]
    index, valid = map(np.asarray, self._order(fold, number))
    all_sums = []
    for step in range(index.shape[2]):
      state, sums = self._step(
        state, fold, index[:, :, step], valid[:, :, step]
      )
      all_sums.append(sums)
    return state, all_sums

  def seconds_per_epoch(self, folds: folds_lib.Folds) -> float:
    """Compiles the programs and times one epoch of one group, thrown away.

    With `loop` two steps are timed, otherwise a whole epoch.
    """
    fold = self._fold_arguments(folds, next(self._groups(folds)))
    state = self._init(fold)
    steps = self._trainer.steps_per_epoch
    if self.strategy != 'loop':
      state, _ = self._run_epoch(state, fold, 0)
      jax.block_until_ready(state)
      start = time.perf_counter()
      jax.block_until_ready(self._run_epoch(state, fold, 1))
      return time.perf_counter() - start
    number = np.zeros(fold.seed.shape, np.int32)
    index, valid = map(np.asarray, self._order(fold, number))
    batch = index[:, :, 0], valid[:, :, 0]
    state, _ = jax.block_until_ready(self._step(state, fold, *batch))
    start = time.perf_counter()
    for _ in range(2):
      state, _ = self._step(state, fold, *batch)
    jax.block_until_ready(state)
    return (time.perf_counter() - start) / 2 * steps

  def train(
    self,
    folds: folds_lib.Folds,
    on_epoch: Callable[[int], None] = lambda folds_done: None,
  ) -> Iterator[list[FoldResult]]:
    """Trains every fold; yields the results of a group as it ends.

    Args:
      folds: which folds.
      on_epoch: called with the number of folds that ended an epoch.

    Yields:
      The results of one group, without padding.
    """
    for rows in self._groups(folds):
      real = len(dict.fromkeys(rows))
      fold = self._fold_arguments(folds, rows)
      state = self._init(fold)
      history, scores = [], _Scores()
      best = self._no_best(state) if self._chooses_epoch else None
      for epoch in range(self._trainer.settings.epochs):
        state, sums = self._run_epoch(state, fold, epoch)
        history.append(sums)
        if self._chooses_epoch:
          best, loss = self._keep_best(best, state, fold)
          scores.validation.append(loss)
        if self._oracle:
          scores.oracle.append(self._predict(state.variables, fold))
        if epoch:
          # One epoch late: fetching waits, and the next is already queued.
          history[-2] = _add(history[-2])
          on_epoch(real)
      history[-1] = _add(history[-1])
      on_epoch(real)
      variables = best.variables if self._chooses_epoch else state.variables
      probabilities = self._predict(variables, fold)
      yield _results(
        folds.select(rows[:real]), variables, history, scores, probabilities
      )


@dataclasses.dataclass
class _Scores:
  """What is looked at after every epoch, where it is asked for."""

  validation: list[jax.Array] = dataclasses.field(default_factory=list)
  oracle: list[jax.Array] = dataclasses.field(default_factory=list)


def _add(sums: list[train.Sums]) -> train.Sums:
  """Sums over steps, on the host."""
  return jax.tree.map(lambda *leaves: np.sum(leaves, axis=0), *sums)


def _results(
  folds: folds_lib.Folds, variables, history, scores: _Scores, probabilities
) -> list[FoldResult]:
  """[device, fold_on_device, ...] -> one result a fold, on the host."""

  def unfold(leaf):
    leaf = np.asarray(leaf)
    return leaf.reshape(-1, *leaf.shape[2:])

  variables = jax.tree.map(unfold, variables)
  probabilities = unfold(probabilities)
  clips = np.stack([unfold(h.clips) for h in history], axis=1)
  clips = np.maximum(clips, 1)
  loss = np.stack([unfold(h.loss) for h in history], axis=1) / clips
  accuracy = np.stack([unfold(h.correct) for h in history], axis=1) / clips
  validation, oracle = (
    np.stack([unfold(score) for score in kept], axis=1) if kept else None
    for kept in (scores.validation, scores.oracle)
  )
  results = []
  for row, (subject, seed) in enumerate(zip(folds.subjects, folds.seeds)):
    valid = folds.test_valid[row]
    results.append(
      FoldResult(
        subject=subject,
        seed=seed,
        variables=jax.tree.map(lambda leaf, row=row: leaf[row], variables),
        loss=loss[row].astype(np.float32),
        accuracy=accuracy[row].astype(np.float32),
        test_index=folds.test_index[row][valid],
        probabilities=probabilities[row][valid],
        validation_loss=None if validation is None else validation[row],
        oracle_probabilities=None if oracle is None else oracle[row][:, valid],
      )
    )
  return results
