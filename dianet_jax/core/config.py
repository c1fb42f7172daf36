"""The configuration: each key with its type, default, help and check.

A key is a field of a frozen dataclass, declared by `key`. Models and
objectives declare settings of their own, in subclasses of `Model` and
`Objective`; `name` says which. What involves two keys, or a registry, is
checked in `experiments.rules`. "Ours" in a help text marks a choice on which
the paper (arXiv 2510.12219) is silent.
"""

import dataclasses

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
PHASES = ('onset_apex', 'apex_offset', 'onset_offset')


@dataclasses.dataclass(frozen=True)
class Simulation:
  """A simulated raw data set in the layout of data.dataset, instead of
  data.manual_dir. No real person, no real result."""

  enabled: bool = key(False, 'Whether to simulate.')
  subjects: int = key(6, 'How many subjects.', between(1, 1000))
  clips_per_subject: int = key(10, 'Clips of each subject.', between(1, 1000))
  seed: int = key(0, 'Of faces, motions and labels.', between(0, 2**31 - 1))


FLOW_CHANNELS = ('u', 'v', 'strain', 'magnitude', 'orientation')


@dataclasses.dataclass(frozen=True)
class Flow:
  """Optical flow, and how it is written as images."""

  method: str = key(
    'tv_l1',
    'tv_l1 (Zach et al., 2007), or farneback: faster and smoother, halves the'
    ' peak of a small motion.',
    one_of('tv_l1', 'farneback'),
  )
  head_motion: str = key(
    'none',
    'What is taken for the motion of the head, and subtracted: none, median (of'
    ' each component over the image), rigid (a shift and a rotation, fitted to'
    ' the whole image). Ours.',
    one_of('none', 'median', 'rigid'),
  )
  scales: int = key(
    3,
    'tv_l1: sizes of the image, each 0.8 of the one before; 5 for a head that'
    ' turns.',
    between(1, 20),
  )
  warps: int = key(
    3,
    'tv_l1: how often each is warped; more shrink small motion.',
    between(1, 20),
  )
  channels: tuple[str, ...] = key(
    FLOW_CHANNELS[:3],
    f'Channels of flow images, in order: {", ".join(FLOW_CHANNELS)} (two: the'
    ' unit vector). Published code reads the MEGC 2019 images as strain, v, u;'
    ' models of them turn the order round themselves.',
    Check(
      lambda names: (
        0 < len(names) == len(set(names))
        and set(FLOW_CHANNELS).issuperset(names)
      ),
      'one or more, each once, of ' + ', '.join(FLOW_CHANNELS),
    ),
  )
  coding: str = key(
    'grey_levels',
    'Values of flow images: grey_levels (each channel of each image scaled to'
    ' its own minimum and maximum, as the published MEGC 2019 images are),'
    ' pixels (the displacement itself, of data.frame_size), hsv (colours: the'
    ' hue is the direction, the value the magnitude).',
    one_of('grey_levels', 'pixels', 'hsv'),
  )


@dataclasses.dataclass(frozen=True)
class Sampling:
  """Which frames a representation of single frames takes."""

  frames: int = key(16, 'How many of each span.', between(1, 1000))
  span: str = key(
    'clip',
    'At equal steps from onset to offset (clip) or in each of data.phases'
    ' (phases), frames repeated where there are fewer; or apex_window:'
    ' consecutive frames around the apex, blended ones between them where there'
    ' are fewer (2112.05851).',
    one_of('clip', 'phases', 'apex_window'),
  )


@dataclasses.dataclass(frozen=True)
class Data:
  """Which clips, and what the model reads of them."""

  dataset: str = key('', 'Builder: a folder of tfds_builders/.')
  variant: str = key(
    '', "Layout variant where a data set has several ('' = the best one found)."
  )
  protocol: str = key(
    '', 'Emotions to classes; `dianet check` lists those of a data set.'
  )
  emotions: tuple[str, ...] = key(
    (),
    "A protocol of your own instead: 'raw emotion=class' for each emotion, and"
    " 'raw emotion=' for one that is left out knowingly.",
    Check(
      lambda pairs: (
        all('=' in pair for pair in pairs)
        and len({pair.partition('=')[0] for pair in pairs}) == len(pairs)
      ),
      "'raw emotion=class', each emotion once",
    ),
  )
  manual_dir: str = key('', 'The raw data set as licensed, unpacked.')
  cache_dir: str = key(
    '',
    'Prepared records, optical flow and compiled programs, which `dianet cache`'
    " lists and removes; '' = ~/.cache/dianet_jax, or the folder that the"
    ' environment variable DIANET_CACHE names.',
  )
  skip_bad_clips: bool = key(
    False,
    'Leave out clips with unreadable frames, and say which. Otherwise they stop'
    ' the run.',
  )
  annotation_policy: str = key(
    'repair',
    'Annotations in doubt (an apex that is missing or outside the clip, an'
    ' offset beyond the frames, ...): repair and say so, spot (repair, and spot'
    " an apex at the clip's ends too), drop the clip, or strict: stop.",
  )
  inputs: tuple[str, ...] = key(
    (),
    'Representations that the model is fed with, one for each that it reads, in'
    ' its order; () = those that it was made for.',
  )
  phases: tuple[str, ...] = key(
    PHASES[:2],
    f'Phases of a clip, in order: {", ".join(PHASES)}. Stated.',
    Check(
      lambda phases: (
        0 < len(phases) == len(set(phases)) and set(PHASES).issuperset(phases)
      ),
      'one or more, each once, of ' + ', '.join(PHASES),
    ),
  )
  coefficients: str = key(
    'rank',
    'Weights of the frames in a dynamic image: rank (approximate rank pooling),'
    ' running_mean (the same by another formula), linear.',
    one_of('rank', 'running_mean', 'linear'),
  )
  frame_order: str = key(
    'time',
    'What ranks the frames of a phase: time, motion_intensity (2510.09730).',
    one_of('time', 'motion_intensity'),
  )
  offset_jitter_frames: int = key(
    0,
    'Training also sees the clips with offsets up to so many frames earlier,'
    ' one drawn for each clip and epoch: offset annotations are uncertain'
    ' (2603.04766). Records end at the annotated offset, so never later; at'
    ' least one frame after the apex. Prediction uses the annotated one. Inputs'
    ' take 1 + this times the memory. 0 = off.',
    between(0, 100),
  )
  key_frame_search: float = key(
    0.0,
    'Training also sees the clips between the key frames that differ most, each'
    ' sought among this share of its phase inwards from the annotated one'
    ' (2603.04766: 0.1 and never the annotated ones; 2505.16372: 0.04).'
    ' Prediction uses the annotated ones. 0 = off.',
    Check(lambda value: 0 <= value <= 0.5, '0 to 0.5'),
  )
  crop: tuple[float, ...] = key(
    (0.0, 0.0, 1.0, 1.0),
    'Part of every frame that is used: top, left, bottom, right, as shares of'
    ' the frame. For raw frames, whose faces are not cropped.',
    Check(
      lambda crop: (
        len(crop) == 4
        and all(0 <= low < high <= 1 for low, high in zip(crop, crop[2:]))
      ),
      '(top, left, bottom, right), shares of the frame, 0..1',
    ),
  )
  align: bool = key(
    False,
    'Find the face on the onset frame and bring it upright and to one size, by'
    ' one transform per clip. For raw frames; needs the extra [align]. Ours.',
  )
  frame_size: int = key(
    224,
    'Frames are reduced to this size (pixels, square) first. Twice image_size'
    ' or more: grey levels are whole numbers, and averaging after pooling loses'
    ' none of a motion of a few levels. Ours.',
    between(8, 2048),
  )
  image_size: int = key(
    112,
    'Images as the model sees them, pixels, square. Ours.',
    between(8, 1024),
  )
  scaling: str = key(
    'symmetric',
    "Images to the network's range, each by itself: symmetric (divided by the"
    ' largest absolute value), minmax, standardize; none: as the representation'
    ' gives them. Ours.',
    one_of('symmetric', 'minmax', 'standardize', 'none'),
  )
  permute_labels: bool = key(
    False,
    'The control: labels shuffled over all clips. Results must lie at chance.',
  )
  flow: Flow = section(Flow)
  sampling: Sampling = section(Sampling)
  simulation: Simulation = section(Simulation)


@dataclasses.dataclass(frozen=True)
class Model:
  """What every model's settings have; the others are its own."""

  name: str = key(
    '', "The model: what follows the colon of a data set's file in configs/."
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
  """Optimisation of one fold: AdamW, linear warm-up, cosine decay. Ours."""

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
  """Which epoch predicts, and what is reported."""

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
    ' (several), map or vmap (several, a program for each epoch); auto = loop'
    ' on a CPU, map elsewhere.',
    one_of('auto', 'loop', 'unroll', 'map', 'vmap'),
  )
  folds_per_device: int = key(
    0,
    'Folds trained at once on a device; 0 = all whose states fit its memory, of'
    ' unroll four. loop takes 1.',
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
    """The seeds of all trainings: reported seed k stands for `ensemble`."""
    size = self.evaluation.ensemble
    return range(self.seed * size, (self.seed + self.seeds) * size)
