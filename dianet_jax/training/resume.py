"""Trains the folds of a run that are not finished, with checkpoints."""

from collections.abc import Callable, Sequence
import contextlib
import datetime
import pathlib
import time

import jax

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, hosts, limits, progress, stopping
from dianet_jax.data import folds as folds_lib
from dianet_jax.training import checkpoints, memory
from dianet_jax.training import parallel as parallel_lib
from dianet_jax.training.results import Diverged, FoldResult, Unfinished


def train_folds(
  config: configuration.Config,
  workdir: pathlib.Path,
  folds: folds_lib.Folds,
  parallel: parallel_lib.FoldParallel,
  describe_rest: Callable[[float], str] | None = None,
) -> list[FoldResult]:
  """Trains the folds that `workdir` does not have yet.

  Each process trains its own folds.

  Args:
    config: of the run.
    workdir: folder of the checkpoints.
    folds: all folds of the run.
    parallel: what `run.make_program` returned.
    describe_rest: estimated seconds of this run -> a remark on the rest of the
      study that it belongs to.

  Returns:
    All folds of all processes, without variables, which are in checkpoints.

  Raises:
    UserError: a fold diverged, the workdir cannot be written, or saved folds
      were trained in another way (see `parallel.allow_mixed`).
    Stopped: after a signal; all folds in training are saved.
  """
  checkpoints.check_names(folds.subjects)
  # Closed in any case, so that checkpoints in writing are completed.
  with contextlib.closing(checkpoints.Checkpoints(workdir)) as saved:
    results = _finished(saved, folds)
    finished = [r for part in hosts.gather(results) for r in part]
    found = {(r.seed, r.subject) for r in finished}
    keys = list(zip(folds.seeds, folds.subjects))
    left = [row for row, key in enumerate(keys) if key not in found]
    if len(left) < len(folds):
      progress.console.print(
        f'{len(folds) - len(left)} of {len(folds)} trainings are finished.'
      )
    own, diverged = folds.select(hosts.own(left)), []
    begun = _begun(saved, own, parallel)
    ways = [(f.seed, f.subject, f.made_by) for f in [*finished, *begun]]
    # Gathered, so that all processes raise the same error.
    _refuse_mixed(config, hosts.gather(ways), parallel.made_by)
    if len(own):
      job = _Job(config, workdir, saved, own, parallel)
      trained = job.run(begun, describe_rest)
      results += [r for r in trained if isinstance(r, FoldResult)]
      diverged += [r for r in trained if isinstance(r, Diverged)]
  everyone = hosts.gather((results, diverged))
  _refuse_diverged([one for part in everyone for one in part[1]])
  return [result for part in everyone for result in part[0]]


def _finished(
  saved: checkpoints.Checkpoints, folds: folds_lib.Folds
) -> list[FoldResult]:
  """The finished folds of which this is the first process with a copy."""
  keys = list(zip(folds.seeds, folds.subjects))
  held = hosts.gather([saved.holds(*key) for key in keys])
  results = []
  for row, key in enumerate(keys):
    holders = [process for process, h in enumerate(held) if h[row]]
    if holders[:1] == [jax.process_index()]:
      results.append(saved.load(*key))
  return [result for result in results if result is not None]


def _begun(
  saved: checkpoints.Checkpoints,
  folds: folds_lib.Folds,
  parallel: parallel_lib.FoldParallel,
) -> list[Unfinished]:
  """Saved states of the folds that can be resumed."""
  found = [
    saved.load_unfinished(seed, subject, parallel.shapes)
    for seed, subject in zip(folds.seeds, folds.subjects)
  ]
  return [fold for fold in found if fold is not None]


def _refuse_mixed(
  config: configuration.Config,
  ways: Sequence[Sequence[tuple[int, str, tuple[str, ...]]]],
  made_by: str,
) -> None:
  """Refuses to pool folds that were trained in different ways, by default.

  Args:
    config: of the run.
    ways: for each process, (seed, subject, made_by) of its saved folds.
    made_by: of the folds that this run would train.
  """
  other = sorted(
    {fold for part in ways for fold in part if {*fold[2]} - {made_by}}
  )
  if not other or config.parallel.allow_mixed:
    return
  seed, subject, was_made_by = other[0]
  raise errors.UserError(
    f'{len(other)} training(s) in the workdir, the first of {subject} (seed'
    f' {seed}), used {" and ".join(was_made_by)}; this run would use'
    f' {made_by}. Resume with the same kind of device, or set'
    ' --config.parallel.allow_mixed=true: metrics.json and the report then list'
    ' both.'
  )


def _refuse_diverged(diverged: list[Diverged]) -> None:
  if not diverged:
    return
  names = ', '.join(
    f'{d.subject} (seed {d.seed}, epoch {d.epoch})' for d in diverged[:5]
  )
  if len(diverged) > 5:
    names += f' and {len(diverged) - 5} more'
  raise errors.UserError(
    f'Training diverged in {len(diverged)} fold(s): {names}: the loss or the'
    ' predictions are not finite. All other folds are trained and saved, but'
    ' without these there is no pooled result. Lower'
    ' --config.train.learning_rate, which makes it another run.'
  )


def _progress(done: tuple[int, int]) -> str:
  epochs, steps = done
  return f'{epochs} and {steps} step(s)' if steps else str(epochs)


class _Profile:
  """Traces the second and third epoch; the first one is a warm-up."""

  def __init__(self, folder: pathlib.Path):
    self._folder, self._epochs = folder, 0

  def count_epoch(self) -> None:
    self._epochs += 1
    if self._epochs == 1:
      jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
    elif self._epochs == 3:
      self._stop()

  def close(self) -> None:
    """Ends the trace if training was shorter."""
    if 1 <= self._epochs < 3:
      self._stop()

  def _stop(self) -> None:
    jax.profiler.stop_trace()
    progress.console.print(
      f'Profile: {self._folder}, for TensorBoard; perfetto_trace.json.gz in it'
      ' for Perfetto.'
    )


class _Job:
  """The folds that one process trains."""

  def __init__(
    self,
    config: configuration.Config,
    workdir: pathlib.Path,
    saved: checkpoints.Checkpoints,
    folds: folds_lib.Folds,
    parallel: parallel_lib.FoldParallel,
  ):
    self._config, self._workdir, self._saved = config, workdir, saved
    self._folds, self._parallel = folds, parallel
    self._written = time.monotonic()

  def run(
    self,
    begun: list[Unfinished],
    describe_rest: Callable[[float], str] | None,
  ) -> list[FoldResult | Diverged]:
    """Trains all folds, and saves each when it is finished."""
    folds, parallel = self._folds, self._parallel
    epochs = self._config.train.epochs
    size, empty = parallel.group_size, parallel.shapes(0)
    self._workdir.mkdir(parents=True, exist_ok=True)
    checkpoints.check_space(self._workdir, size, len(folds), empty)
    if begun:
      progress.console.print(
        f'{len(begun)} training(s) resume after epoch '
        + ', '.join(map(_progress, sorted({fold.progress for fold in begun})))
        + '.'
      )
    self._announce(begun, size, describe_rest)
    done = sum(fold.epochs for fold in begun)
    results = []
    with (
      progress.bar('Training', len(folds) * epochs, done) as bar,
      stopping.deferred(),
      contextlib.ExitStack() as stack,
    ):
      profile = None
      if self._config.profile:
        profile = _Profile(self._workdir / 'profile')
        stack.callback(profile.close)

      def on_epoch(number, snapshot):
        loss = parallel.loss
        bar.advance(number, '' if loss is None else f'loss {loss:.3f}')
        if profile and number:
          profile.count_epoch()
        self._write(snapshot)

      training = parallel.train(folds, on_epoch, begun.copy())
      # Frees each saved state once its training has resumed.
      begun.clear()
      for group in training:
        results += map(self._keep, group)
    return results

  def _announce(self, begun, size: int, describe_rest) -> None:
    """Compiles, and prints an estimate of the training time."""
    folds, epochs = self._folds, self._config.train.epochs
    start = time.perf_counter()
    reported = memory.report_exhaustion(self._parallel.devices)
    with progress.waiting('Compiling'), reported:
      programs = self._parallel.compile(folds)
      compiled = time.perf_counter() - start
      seconds = self._parallel.seconds_per_epoch(folds)
    # The compiler has freed gigabytes.
    limits.give_back()
    left = len(folds) * epochs - sum(fold.epochs for fold in begun)
    seconds *= left / min(size, len(folds))
    progress.console.print(
      f'{len(programs)} programs compiled in {compiled:.0f} s.'
      f' {len(folds)} trainings of {epochs} epochs, {size} at once: about'
      f' {datetime.timedelta(seconds=round(seconds))} (from a timed step)'
      f'{describe_rest(seconds) if describe_rest else ""}.'
    )

  def _write(self, snapshot: Callable) -> None:
    """Saves folds in training at intervals, and before stopping."""
    stop = stopping.asked()
    interval = 60 * self._config.parallel.checkpoint_minutes
    if not stop and time.monotonic() - self._written < interval:
      return
    # Waits, because unwritten checkpoints would accumulate in memory.
    self._saved.wait()
    for fold in snapshot():
      self._saved.save_unfinished(fold)
    self._written = time.monotonic()
    if stop:
      self._saved.wait()
      stopping.check(
        'all folds in training are saved, and the same command resumes them'
      )

  def _keep(self, result: FoldResult | Diverged) -> FoldResult | Diverged:
    if isinstance(result, Diverged):
      progress.console.print(
        f'Fold {result.subject} (seed {result.seed}) diverged in epoch'
        f' {result.epoch}; the others continue.'
      )
      return result
    self._saved.save(result)
    return result.without_variables()
