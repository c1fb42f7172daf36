"""Nested selection: chooses a configuration for every subject without it.

The subjects are split into G groups. For every candidate (a row of the study)
and every pair of groups, one model is trained without the subjects of both,
and predicts the clips of both. The score of a candidate for group g is the
pooled UF1 over the clips of all other groups h, each predicted by the model
that was trained without g and h: group g affects neither training nor score.
The best candidate, of ties the first, is chosen for g.

Then follows leave-one-subject-out: the folds of g's subjects are trained with
the configuration chosen for g, on all other subjects, and all folds are pooled
like those of any run. So held-out clips influence neither their own prediction
nor the choice of its configuration.

This needs G (G - 1) / 2 trainings per candidate, where leave-one-subject-out
inside every fold would need thousands. Selection has its own seeds and no
ensembles.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import itertools
import pathlib
import time
from typing import Any

from jaxtyping import Float64, Int
import numpy as np
import rich.box
import rich.table

from dianet_jax.core import errors, files, hosts, progress, runtime
from dianet_jax.core.config import Config
from dianet_jax.data import dataset as data_lib
from dianet_jax.data import folds as folds_lib
from dianet_jax.evaluation import metrics, report
from dianet_jax.experiments import pace as pace_lib
from dianet_jax.experiments import results as results_lib
from dianet_jax.experiments import rows as rows_lib
from dianet_jax.experiments import run as run_lib
from dianet_jax.experiments import workdirs
from dianet_jax.training import resume as resume_lib
from dianet_jax.training.results import FoldResult


def group_subjects(
  subjects: Sequence[str], num_groups: int
) -> list[tuple[str, ...]]:
  """Splits subjects into groups with similar numbers of clips.

  The numbers are balanced in total and for every data set, without labels:
  subjects with many clips are assigned first, each to the group with the fewest
  clips of its data set.

  Args:
    subjects: the subject of each clip; '<data set>/<subject>' in a composite.
    num_groups: number of groups.

  Returns:
    The subjects of each group.

  Raises:
    UserError: fewer subjects than groups.
  """
  names, clips = np.unique(subjects, return_counts=True)
  if len(names) < num_groups:
    raise errors.UserError(
      f'--config.study.groups={num_groups}, but there are {len(names)}'
      ' subjects. Choose fewer groups.'
    )
  order = sorted(zip(-clips, names.tolist()))
  groups = [[] for _ in range(num_groups)]
  dealt = [{} for _ in range(num_groups)]
  for minus_clips, name in order:
    dataset = name.rpartition('/')[0]

    def load(group, dataset=dataset):
      return dealt[group].get(dataset, 0), sum(dealt[group].values()), group

    least = min(range(num_groups), key=load)
    groups[least].append(name)
    dealt[least][dataset] = dealt[least].get(dataset, 0) - int(minus_clips)
  return [tuple(sorted(group)) for group in groups]


def pairs(
  groups: Sequence[Sequence[str]],
) -> dict[str, tuple[int, int]]:
  """Fold name -> the two groups that it holds out."""
  return {
    f'groups {one} and {other}': (one, other)
    for one, other in itertools.combinations(range(len(groups)), 2)
  }


def scores(
  results: Sequence[FoldResult],
  folds: Mapping[str, tuple[int, int]],
  group_of_clip: Int[np.ndarray, ' clip'],
  labels: Int[np.ndarray, ' clip'],
) -> Float64[np.ndarray, ' group']:
  """The score of a candidate for each group, see the module's description.

  Args:
    results: of one candidate, for every pair of groups and every seed.
    folds: what `pairs` returned.
    group_of_clip: the group of each clip.
    labels: class index of each clip.

  Returns:
    UF1 over the clips of all other groups, mean over seeds; 0..1.
  """
  seeds = sorted({result.seed for result in results})
  num_groups = max(map(max, folds.values())) + 1
  num_classes = results[0].probabilities.shape[1]
  # [left-out group, seed, clip]; -1 for the group's own clips.
  guesses = np.full((num_groups, len(seeds), len(labels)), -1)
  for result in results:
    one, other = folds[result.subject]
    guess = result.probabilities.argmax(axis=-1)
    for left_out, scored in ((one, other), (other, one)):
      rows = group_of_clip[result.test_index] == scored
      clips = result.test_index[rows]
      guesses[left_out, seeds.index(result.seed), clips] = guess[rows]
  values = np.empty((num_groups, len(seeds)))
  for group, seed in np.ndindex(values.shape):
    clips = group_of_clip != group
    guess = guesses[group, seed, clips]
    if guess.min() < 0:
      raise ValueError('A clip was not predicted without its groups.')
    values[group, seed] = metrics.uf1(
      metrics.confusion_matrix(labels[clips], guess, num_classes)
    )
  return values.mean(axis=1)


def selection_config(row: rows_lib.Row, config: Config) -> Config:
  """The candidate's configuration while it is being compared."""
  return dataclasses.replace(
    row.config,
    # The seeds of the result are not used for the choice.
    seed=config.training_seeds.stop,
    seeds=config.study.selection_seeds,
    evaluation=dataclasses.replace(
      row.config.evaluation, ensemble=1, oracle=False
    ),
  )


def run(config: Config, workdir: pathlib.Path) -> dict[str, Any]:
  """Chooses and trains; writes the files of a run, and `selection.json`.

  Args:
    config: with the candidates in its section `study`.
    workdir: folder of results; trainings of the selection are in `selection/`,
      those of the result in `chosen/`, with a folder for each candidate.

  Returns:
    The content of `metrics.json`.

  Raises:
    UserError: the configuration or the data are invalid, or training failed.
  """
  runtime.configure(runtime.cache_dir(config.data.cache_dir))
  hosts.start(config.parallel)
  found = rows_lib.parse(config)
  with workdirs.exclusive(workdir):
    workdirs.check_config(workdir, config)
    summary = hosts.of_main(workdirs.load_summary(workdir))
    if summary is None:
      rows_lib.describe(found)
      summary = _Nested(config, workdir, found).run()
    elif hosts.is_main():
      progress.console.print(f'This study is finished: {workdir}')
      saved = workdirs.load_selection(workdir)
      places = rows_lib.places_of(workdir, found, saved)
      results_lib.show(
        config,
        workdir,
        summary,
        run_lib.read_dataset,
        {subject: place for subject, (place, _) in places.items()},
      )
      print_selection(saved)
  report.print_table(summary)
  return summary


@dataclasses.dataclass(frozen=True)
class _Trainings:
  """Folds that are trained in a separate workdir."""

  config: Config
  dataset: data_lib.Dataset
  folds: folds_lib.Folds
  workdir: pathlib.Path

  @property
  def work(self) -> float:
    """Remaining work, in the unit of `pace`."""
    return pace_lib.work(self.config, self.dataset, self.folds, self.workdir)


@dataclasses.dataclass(frozen=True)
class _Candidate:
  """Trainings of one row: for the selection and, if chosen, for the result."""

  row: rows_lib.Row
  selection: _Trainings
  final: _Trainings


class _Nested:
  """One study in progress."""

  def __init__(
    self,
    config: Config,
    workdir: pathlib.Path,
    found: Sequence[rows_lib.Row],
  ):
    self._config, self._workdir = config, workdir
    load = functools.lru_cache(maxsize=None)(data_lib.load)
    read = functools.partial(run_lib.read_dataset, load=load)
    self._dataset = read(config)
    subjects = self._dataset.subjects
    self._groups = group_subjects(subjects, config.study.groups)
    self._pairs = pairs(self._groups)
    self._group_of = {
      name: number for number, g in enumerate(self._groups) for name in g
    }
    self._group_of_clip = np.array([self._group_of[s] for s in subjects])
    self._pace = pace_lib.Pace()
    fed = [row for row in found if not row.unsupported]
    ready, lacking = rows_lib.load_rows(fed, read, self._dataset)
    self._found = rows_lib.with_reasons(found, lacking)
    self._candidates = [self._candidate(one) for one in ready]

  def _candidate(self, ready: rows_lib.Ready) -> _Candidate:
    row, dataset = ready.row, ready.dataset
    config = selection_config(row, self._config)
    held_out = {
      name: self._groups[one] + self._groups[other]
      for name, (one, other) in self._pairs.items()
    }
    return _Candidate(
      row,
      _Trainings(
        config,
        dataset,
        folds_lib.of(config, dataset, held_out),
        self._workdir / 'selection' / row.folder,
      ),
      _Trainings(
        row.config,
        dataset,
        ready.folds,
        self._workdir / 'chosen' / row.folder,
      ),
    )

  def run(self) -> dict[str, Any]:
    """Selection, then the folds."""
    start = time.perf_counter()
    config, dataset = self._config, self._dataset
    folds = folds_lib.of(config, dataset)
    for one in self._candidates:
      for trainings in (one.selection, one.final):
        workdirs.check_config(trainings.workdir, trainings.config)
        workdirs.check_data(
          trainings.workdir, trainings.config, trainings.dataset
        )
    workdirs.begin(self._workdir, config, dataset)
    run_lib.describe(config, dataset, folds)
    table = np.stack([self._scored(n) for n in range(len(self._candidates))])
    # Of ties the first.
    choice = table.argmax(axis=0).tolist()
    saved = self._content(table, choice)
    if hosts.is_main():
      files.write_json(self._workdir / 'selection.json', saved)
    print_selection(saved)
    results = self._trained(choice)
    chosen = [self._candidates[number].final.workdir for number in set(choice)]
    trained = results_lib.Trained(
      config,
      self._workdir,
      workdirs.with_note(dataset, sorted(chosen)),
      results,
    )
    return results_lib.conclude(
      trained, folds, start, {'chosen': saved['groups']}
    )

  def _train(self, one: _Trainings, rest: float) -> list[FoldResult]:
    """Trains; `rest` is the work that follows, in the unit of `pace`."""
    work = one.work
    workdirs.begin(one.workdir, one.config, one.dataset)
    with self._pace.timed(work):
      return resume_lib.train_folds(
        one.config,
        one.workdir,
        one.folds,
        run_lib.make_program(one.config, one.dataset, one.folds, one.workdir),
        functools.partial(self._pace.remark, work=work, rest=rest),
      )

  def _scored(self, number: int) -> Float64[np.ndarray, ' group']:
    """The scores of a candidate, for each group."""
    one = self._candidates[number]
    progress.console.print(
      f'\nCandidate {number + 1} of {len(self._candidates)}: {one.row.name}'
    )
    rest = sum(other.selection.work for other in self._candidates[number + 1 :])
    # The choice is not known yet, so the estimate uses the mean.
    rest += float(np.mean([other.final.work for other in self._candidates]))
    results = self._train(one.selection, rest)
    labels = one.final.dataset.labels
    return scores(results, self._pairs, self._group_of_clip, labels)

  def _trained(self, choice: Sequence[int]) -> list[FoldResult]:
    """Leave-one-subject-out, each fold as chosen for its group."""
    parts = []
    for number in sorted(set(choice)):
      one = self._candidates[number]
      groups = [g for g, chosen in enumerate(choice) if chosen == number]
      # Selected from the folds of all subjects, to keep the padded widths.
      folds = one.final.folds.select(
        [
          index
          for index, subject in enumerate(one.final.folds.subjects)
          if self._group_of[subject] in groups
        ]
      )
      parts.append((one, groups, dataclasses.replace(one.final, folds=folds)))
    results = []
    for number, (one, groups, final) in enumerate(parts):
      progress.console.print(
        f'\nSubjects of groups {groups}, with {one.row.name}:'
      )
      rest = sum(later.work for _, _, later in parts[number + 1 :])
      results += self._train(final, rest)
    return results

  def _content(
    self, table: np.ndarray, choice: Sequence[int]
  ) -> dict[str, Any]:
    """The content of `selection.json`."""
    return {
      'candidates': [
        {
          'name': one.row.name,
          'settings': one.row.settings,
          'uf1_without_group': scores_of_groups.tolist(),
        }
        for one, scores_of_groups in zip(self._candidates, table)
      ],
      'left_out': {r.name: r.unsupported for r in self._found if r.unsupported},
      'groups': [
        {
          'chosen': self._candidates[number].row.name,
          'subjects': list(group),
        }
        for number, group in zip(choice, self._groups)
      ],
    }


def choose(saved: Mapping[str, Any]) -> str:
  """The candidate for people outside the data set.

  A group's candidate is the best on the clips of all other groups. Here no
  group is held out, so the mean of these scores decides; of ties the first.

  Args:
    saved: the content of `selection.json`.
  """
  means = [float(np.mean(c['uf1_without_group'])) for c in saved['candidates']]
  return saved['candidates'][int(np.argmax(means))]['name']


def print_selection(saved: dict[str, Any]) -> None:
  """Prints a row per candidate and a column per group; * marks the choice."""
  progress.console.print(
    '\nUF1 of the candidates on the clips of all groups but the named one, by'
    ' models trained without either; * marks the choice for the group.'
  )
  table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1))
  table.add_column('candidate')
  for number in range(len(saved['groups'])):
    table.add_column(f'group {number}', justify='right')
  for row in saved['candidates']:
    cells = [
      f'{value:.3f}' + ('*' if group['chosen'] == row['name'] else ' ')
      for value, group in zip(row['uf1_without_group'], saved['groups'])
    ]
    table.add_row(row['name'], *cells)
  progress.console.print(table)
  for name, reason in saved['left_out'].items():
    progress.console.print(f'{name}: left out, {reason}')
