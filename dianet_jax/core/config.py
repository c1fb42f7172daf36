"""The configuration: each key with its type, default, help and check.

A key is a field of a frozen dataclass, declared by `key`. Models and
objectives declare their own settings in subclasses of `Model` and `Objective`,
selected by `name`. Conditions on two keys, or on a registry, are checked in
`experiments.rules`. "Ours" in a help text marks a choice that the paper (arXiv
2510.12219) does not state.
"""

import dataclasses

# Used as `config.Data`, ... like the other sections.
from dianet_jax.core.data_section import FLOW_CHANNELS as FLOW_CHANNELS
from dianet_jax.core.data_section import PHASES as PHASES
from dianet_jax.core.data_section import Data as Data
from dianet_jax.core.data_section import Flow as Flow
from dianet_jax.core.data_section import Sampling as Sampling
from dianet_jax.core.data_section import Simulation as Simulation
from dianet_jax.core.schema import (
  BELOW_ONE,
  SHARE,
  Check,
  between,
  key,
  one_of,
  section,
)

# Upper limit of the numbers of folds, subjects, processes, ...
_MOST = 10_000


@dataclasses.dataclass(frozen=True)
class Model:
  """Settings of every model; subclasses add their own."""

  name: str = key(
    '', "The model: what follows the colon of a data set's file in configs/."
  )
  pretrained: str = key(
    '',
    'A file of initial weights of every network: .safetensors, .npz, or'
    " PyTorch's .pth or .pt; with the names of torchvision's ResNet-18, of the"
    " model's authors or of a bundle. '' = random weights.",
  )


@dataclasses.dataclass(frozen=True)
class Objective:
  """Settings of every objective; subclasses add their own."""

  name: str = key('', 'Loss that training minimises.')


@dataclasses.dataclass(frozen=True)
class Augment:
  """Augmentation of each clip in each step, the same for all its images."""

  flip_probability: float = key(
    0.5, 'Probability of mirroring left to right.', SHARE
  )
  shift_pixels: int = key(
    4, 'Largest shift in each direction, in pixels.', between(0, 1024)
  )
  rotation_degrees: float = key(
    0.0,
    'Largest rotation about the centre, in either direction; 0 = off.',
    Check(lambda value: 0 <= value <= 180, '0 to 180'),
  )
  mixup_alpha: float = key(
    0.0,
    'Mixup (Zhang et al., 2018): clips are blended in pairs, with weights from'
    ' Beta(alpha, alpha); 0 = off.',
    between(0, 1000),
  )


@dataclasses.dataclass(frozen=True)
class Train:
  """Optimisation of one fold: AdamW with linear warm-up. Ours."""

  epochs: int = key(
    50,
    'Number of epochs; evaluation.epochs selects the one that predicts.',
    between(1, 1_000_000),
  )
  batch_size: int = key(
    32,
    'Upper limit; clips are spread evenly over the steps of an epoch.',
    between(1, 100_000),
  )
  learning_rate: float = key(
    1e-3,
    'Peak learning rate.',
    Check(lambda value: 0 < value <= 100, '> 0, at most 100'),
  )
  warmup_fraction: float = key(
    0.1,
    'Fraction of the steps during which the learning rate rises to its peak.',
    BELOW_ONE,
  )
  schedule: str = key(
    'cosine',
    'Learning rate after the warm-up: cosine (decay to 0), or constant.',
    one_of('cosine', 'constant'),
  )
  order: str = key(
    'shuffled',
    'Order of the training clips: shuffled (differently in each epoch), or'
    ' by_class: one class after the other, as in the code of STSTNet and HTNet;'
    ' a step then has clips of few classes, and the last has the rest.',
    one_of('shuffled', 'by_class'),
  )
  weight_decay: float = key(
    1e-2,
    'Weight decay; not applied to biases and norm parameters.',
    between(0, 1000),
  )
  class_balance: str = key(
    'inverse_frequency',
    'Weight of a clip by the number of training clips of its class: none,'
    ' inverse_frequency, effective_number (Cui et al., 2019: milder).',
    one_of('none', 'inverse_frequency', 'effective_number'),
  )
  effective_number_beta: float = key(
    0.99, '0 = none; towards 1 = inverse_frequency.', BELOW_ONE
  )
  ema_decay: float = key(
    0.0,
    'Predict with an exponential moving average of parameters and batch'
    ' statistics, over about 1 / (1 - decay) steps; 0 = off.',
    BELOW_ONE,
  )
  augment: Augment = section(Augment)


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Which clips are held out, which epoch predicts, and what is reported."""

  protocol: str = key(
    'leave_one_subject_out',
    'What a fold holds out: one subject (leave_one_subject_out), or all'
    ' subjects of one data set of a composite (cross_dataset).',
    one_of('leave_one_subject_out', 'cross_dataset'),
  )
  epochs: str = key(
    'fixed',
    'Which epoch predicts: fixed (the last), or inner_split (the one with the'
    " lowest loss on some of the fold's training subjects, which are left out"
    ' of training). The held-out subject never influences the choice.',
    one_of('fixed', 'inner_split'),
  )
  validation_share: float = key(
    0.2,
    'Fraction of the training subjects that inner_split uses for validation.',
    Check(lambda value: 0 < value < 1, 'above 0 and below 1'),
  )
  oracle: bool = key(
    False,
    'Also report the metrics if the epoch of each fold were chosen on its'
    ' held-out subject, as in many publications. Not a result.',
  )
  ensemble: int = key(
    1,
    'Number of trainings whose mean probability is one reported seed.',
    between(1, 1000),
  )

  @property
  def chooses_epoch(self) -> bool:
    """Whether each fold's epoch is chosen on validation clips."""
    return self.epochs == 'inner_split'


@dataclasses.dataclass(frozen=True)
class Study:
  """Several configurations in one command: configs/ablation.py, nested.py."""

  kind: str = key(
    '',
    "'' (one run), ablation (every row, compared with the first) or nested (a"
    ' row chosen for each subject on the other subjects).',
    one_of('', 'ablation', 'nested'),
  )
  rows: tuple[str, ...] = key(
    (),
    "'name: key=value key=value': differences from this configuration.",
  )
  only: tuple[str, ...] = key(
    (), 'ablation: names of the rows to train now; () = all.'
  )
  groups: int = key(5, 'nested: number of subject groups.', between(3, 1000))
  selection_seeds: int = key(
    1, 'nested: trainings of each row and pair of groups.', between(1, 1000)
  )


@dataclasses.dataclass(frozen=True)
class Parallel:
  """How folds are distributed over devices and processes."""

  devices: int = key(
    0,
    'Number of devices; 0 = all. Each CPU core is a device, up to four.',
    between(0, _MOST),
  )
  strategy: str = key(
    'auto',
    'Folds on one device: loop (one fold, a program for each step), unroll'
    ' (several), map or vmap (several, a program for each epoch), vmap_products'
    ' (vmap with convolutions as matrix products); auto = loop on a CPU,'
    ' elsewhere the fastest, which is measured once and cached.',
    one_of('auto', 'loop', 'unroll', 'map', 'vmap', 'vmap_products'),
  )
  folds_per_device: int = key(
    0,
    'Folds trained at once on a device; 0 = the fastest number if the strategy'
    ' is measured, otherwise all whose states fit its memory (unroll: four).'
    ' loop trains 1.',
    between(0, _MOST),
  )
  compute_dtype: str = key(
    'auto',
    'float32, bfloat16 (parameters stay float32); auto = float32 on a CPU.',
    one_of('auto', 'float32', 'bfloat16'),
  )
  checkpoint_minutes: float = key(
    10.0,
    'Interval between checkpoints of folds in training; 0 = every epoch.',
    between(0, 1_000_000),
  )
  allow_mixed: bool = key(
    False,
    'Allow a result that pools folds trained with different dtypes, strategies'
    ' or kinds of device.',
  )
  coordinator: str = key(
    '',
    "Several processes, each with its own devices: '' = only this one, auto ="
    ' detect them (TPU pod, SLURM, Open MPI), or the address of process 0 as'
    ' host:port, together with processes and process.',
  )
  processes: int = key(1, 'Number of processes.', between(1, _MOST))
  process: int = key(0, 'Index of this process, from 0.', between(0, _MOST))


@dataclasses.dataclass(frozen=True)
class Config:
  """The configuration of a run."""

  name: str = key(
    'default',
    'Name of the run and of its default workdir, runs/<name>-<hash of the'
    ' config>: letters, digits, -, _ and .; not starting with a dot.',
  )
  seed: int = key(
    0, 'First seed of shuffling, initialisation and augmentation.'
  )
  seeds: int = key(
    1,
    'Number of consecutive seeds; results are their mean.',
    between(1, 1000),
  )
  data: Data = section(Data)
  model: Model = section(Model)
  objective: Objective = section(Objective)
  train: Train = section(Train)
  evaluation: Evaluation = section(Evaluation)
  study: Study = section(Study)
  parallel: Parallel = section(Parallel)
  profile: bool = key(
    False,
    'Write a trace of some training epochs, for TensorBoard or Perfetto, to'
    ' profile/ in the workdir.',
  )

  @property
  def training_seeds(self) -> range:
    """The seeds of all trainings: `ensemble` of them for each reported seed."""
    size = self.evaluation.ensemble
    return range(self.seed * size, (self.seed + self.seeds) * size)
