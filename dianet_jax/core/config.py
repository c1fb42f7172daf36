"""The configuration: each key with its type, default, help and check.

A key is a field of a frozen dataclass, declared by `key`. Models and
objectives declare settings of their own, in subclasses of `Model` and
`Objective`; `name` says which. What involves two keys, or a registry, is
checked in `experiments.rules`. "Ours" in a help text marks a choice on which
the paper (arXiv 2510.12219) is silent.
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

# No run has more folds, subjects, processes, ... of a kind.
_MOST = 10_000


@dataclasses.dataclass(frozen=True)
class Model:
  """What every model's settings have; the others are its own."""

  name: str = key(
    '', "The model: what follows the colon of a data set's file in configs/."
  )
  pretrained: str = key(
    '',
    'A file of weights that every network starts from: .safetensors, .npz, or'
    " PyTorch's .pth or .pt; with the names of torchvision's ResNet-18, of the"
    " model's authors or of a bundle. '' = random weights.",
  )


@dataclasses.dataclass(frozen=True)
class Objective:
  """What every objective's settings have; the others are its own."""

  name: str = key('', 'What training minimises.')


@dataclasses.dataclass(frozen=True)
class Augment:
  """Augmentation of each clip in each step, all its images alike."""

  flip_probability: float = key(0.5, 'Mirrored left to right.', SHARE)
  shift_pixels: int = key(
    4, 'Largest shift, pixels of the image, either way.', between(0, 1024)
  )
  rotation_degrees: float = key(
    0.0,
    'Largest rotation about the centre, either way; 0 = off.',
    Check(lambda value: 0 <= value <= 180, '0 to 180'),
  )
  mixup_alpha: float = key(
    0.0,
    'Mixup (Zhang et al., 2018): clips blended in pairs, shares from'
    ' Beta(alpha, alpha); 0 = off.',
    between(0, 1000),
  )


@dataclasses.dataclass(frozen=True)
class Train:
  """Optimisation of one fold: AdamW with linear warm-up. Ours."""

  epochs: int = key(
    50,
    'evaluation.epochs says which of them predicts.',
    between(1, 1_000_000),
  )
  batch_size: int = key(
    32,
    'At most; clips are spread evenly over the steps of an epoch.',
    between(1, 100_000),
  )
  learning_rate: float = key(
    1e-3,
    'The peak.',
    Check(lambda value: 0 < value <= 100, '> 0, at most 100'),
  )
  warmup_fraction: float = key(
    0.1,
    'Share of the steps in which the learning rate climbs to the peak.',
    BELOW_ONE,
  )
  schedule: str = key(
    'cosine',
    'The learning rate after the warm-up: cosine (decays to 0), or constant.',
    one_of('cosine', 'constant'),
  )
  order: str = key(
    'shuffled',
    'Order of the training clips: shuffled (anew in each epoch), or by_class:'
    ' one class after the other, as the code of STSTNet and HTNet reads them; a'
    ' step then sees few classes.',
    one_of('shuffled', 'by_class'),
  )
  weight_decay: float = key(
    1e-2,
    'Of weights; biases and norm parameters have none.',
    between(0, 1000),
  )
  class_balance: str = key(
    'inverse_frequency',
    "Weight of a clip by its class's number of training clips: none,"
    ' inverse_frequency, effective_number (Cui et al., 2019: milder).',
    one_of('none', 'inverse_frequency', 'effective_number'),
  )
  effective_number_beta: float = key(
    0.99, '0 = none; towards 1 = inverse_frequency.', BELOW_ONE
  )
  ema_decay: float = key(
    0.0,
    'Predict with a running mean of parameters and batch statistics over the'
    ' steps, a memory of about 1 / (1 - decay) of them; 0 = off.',
    BELOW_ONE,
  )
  augment: Augment = section(Augment)


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What is held out, which epoch predicts, and what is reported."""

  protocol: str = key(
    'leave_one_subject_out',
    'What a fold holds out: leave_one_subject_out, or cross_dataset: all'
    ' subjects of one data set of a composite; it is trained on the others.',
    one_of('leave_one_subject_out', 'cross_dataset'),
  )
  epochs: str = key(
    'fixed',
    'Which epoch predicts: fixed (the last), or inner_split: the one with the'
    " lowest loss on some of the fold's training subjects, which are then not"
    ' trained on. Never one chosen by what the held-out subject scores.',
    one_of('fixed', 'inner_split'),
  )
  validation_share: float = key(
    0.2,
    'Share of the training subjects that inner_split sets aside.',
    Check(lambda value: 0 < value < 1, 'above 0 and below 1'),
  )
  oracle: bool = key(
    False,
    'Report, beside the result, what the best epoch of each fold, chosen on its'
    ' held-out subject, would give. Many publish it. Not a result.',
  )
  ensemble: int = key(
    1,
    'A reported seed is the mean probability of so many trainings; their cost,'
    ' too.',
    between(1, 1000),
  )

  @property
  def chooses_epoch(self) -> bool:
    """Whether clips are set aside to choose each fold's epoch by."""
    return self.epochs == 'inner_split'


@dataclasses.dataclass(frozen=True)
class Study:
  """Several configurations in one command: configs/ablation.py, nested.py."""

  kind: str = key(
    '',
    "'' (one run), ablation (every row, compared with the first) or nested (a"
    ' row chosen for each subject without looking at it).',
    one_of('', 'ablation', 'nested'),
  )
  rows: tuple[str, ...] = key(
    (),
    "'name: key=value key=value': what differs from this configuration.",
  )
  groups: int = key(5, 'nested: groups of subjects.', between(3, 1000))
  selection_seeds: int = key(
    1, 'nested: trainings of each row and pair of groups.', between(1, 1000)
  )


@dataclasses.dataclass(frozen=True)
class Parallel:
  """How folds are laid over devices."""

  devices: int = key(
    0,
    '0 = all that jax sees; of a CPU every core is one, up to four.',
    between(0, _MOST),
  )
  strategy: str = key(
    'auto',
    'Folds on one device: loop (one fold, a program for each step), unroll'
    ' (several), map or vmap (several, a program for each epoch), vmap_products'
    ' (convolutions as products of matrices); auto = loop on a CPU, the fastest'
    ' one elsewhere: measured once and kept in the cache.',
    one_of('auto', 'loop', 'unroll', 'map', 'vmap', 'vmap_products'),
  )
  folds_per_device: int = key(
    0,
    'Folds trained at once on a device; 0 = as many as are fastest where the'
    ' strategy is measured, otherwise all whose states fit its memory (unroll:'
    ' four). loop takes 1.',
    between(0, _MOST),
  )
  compute_dtype: str = key(
    'auto',
    'float32, bfloat16 (parameters stay float32); auto = float32 on a CPU.',
    one_of('auto', 'float32', 'bfloat16'),
  )
  checkpoint_minutes: float = key(
    10.0,
    'How often folds in training are written to disk; 0 = after every epoch.',
    between(0, 1_000_000),
  )
  allow_mixed: bool = key(
    False,
    'Pool folds that were trained in another dtype, by another strategy or on'
    ' another kind of device than this run would. Refused otherwise.',
  )
  coordinator: str = key(
    '',
    "Several processes, each with devices of its own: '' = this one alone, auto"
    ' = what the environment says (TPU pod, SLURM, Open MPI), or the address of'
    ' process 0 as host:port, with the number of processes and which this is.',
  )
  processes: int = key(1, 'How many processes.', between(1, _MOST))
  process: int = key(0, 'Which of them this is, from 0.', between(0, _MOST))


@dataclasses.dataclass(frozen=True)
class Config:
  """A whole run."""

  name: str = key(
    'default',
    'Names the run and its default workdir, runs/<name>-<hash of the config>:'
    ' letters, digits, -, _ and .; no . in front.',
  )
  seed: int = key(
    0, 'The first seed; shuffling, initialisation, augmentation follow from it.'
  )
  seeds: int = key(
    1,
    'How many seeds, counted up from the first; results are their mean.',
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
    'Writes a trace of some epochs of training, for TensorBoard or Perfetto, to'
    ' profile/ in the workdir.',
  )

  @property
  def training_seeds(self) -> range:
    """The seeds of all trainings: `ensemble` of them for a reported seed."""
    size = self.evaluation.ensemble
    return range(self.seed * size, (self.seed + self.seeds) * size)
