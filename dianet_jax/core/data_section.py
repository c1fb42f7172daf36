"""The section `data` of the configuration; see `config`."""

import dataclasses

from dianet_jax.core.schema import (
  Check,
  between,
  key,
  one_of,
  section,
)

PHASES = ('onset_apex', 'apex_offset', 'onset_offset')


@dataclasses.dataclass(frozen=True)
class Simulation:
  """A simulated raw data set in the layout of data.dataset.

  It replaces data.manual_dir. The faces are drawn, so its results do not apply
  to real faces.
  """

  enabled: bool = key(
    False, 'Simulate the raw data set instead of reading manual_dir.'
  )
  subjects: int = key(6, 'Number of subjects.', between(1, 1000))
  clips_per_subject: int = key(
    10, 'Number of clips per subject.', between(1, 1000)
  )
  seed: int = key(
    0, 'Random seed of faces, motions and labels.', between(0, 2**31 - 1)
  )


FLOW_CHANNELS = ('u', 'v', 'strain', 'magnitude', 'orientation')


@dataclasses.dataclass(frozen=True)
class Flow:
  """Optical flow, and how it is encoded as images."""

  method: str = key(
    'tv_l1',
    'tv_l1 (Zach et al., 2007), or farneback: faster and smoother, but halves'
    ' the peak of a small motion.',
    one_of('tv_l1', 'farneback'),
  )
  head_motion: str = key(
    'none',
    'Head motion that is subtracted: none, median (of each component over the'
    ' image), rigid (a shift and a rotation, fitted to the whole image). Ours.',
    one_of('none', 'median', 'rigid'),
  )
  scales: int = key(
    3,
    'tv_l1: number of scales, each 0.8 of the previous one; use 5 for head'
    ' rotation.',
    between(1, 20),
  )
  warps: int = key(
    3,
    'tv_l1: number of warps per scale; more underestimate small motion.',
    between(1, 20),
  )
  channels: tuple[str, ...] = key(
    FLOW_CHANNELS[:3],
    f'Channels of flow images, in order: {", ".join(FLOW_CHANNELS)} (two: the'
    ' unit vector). Published code reads the MEGC 2019 images as strain, v, u;'
    ' their models reverse the order themselves.',
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
    ' its own minimum and maximum, as in the published MEGC 2019 images),'
    ' pixels (displacement at data.frame_size), hsv (colours: the hue is the'
    ' direction, the value the magnitude).',
    one_of('grey_levels', 'pixels', 'hsv'),
  )
  modulation: str = key(
    'hard',
    'mm_cof: how magnitudes are modulated: hard (those at or above the mean of'
    ' the image times 1.5, the others times 0.5), soft (the same with a smooth'
    ' step), none. Ours.',
    one_of('hard', 'soft', 'none'),
  )
  phase_weights: tuple[float, ...] = key(
    (0.5, 0.5),
    'mm_cof: weights of the motion of both phases. From a secondary source,'
    ' without values.',
    Check(
      lambda weights: (
        len(weights) == 2 and min(weights) >= 0 < sum(weights) <= 1
      ),
      'two numbers of at least 0 with a sum above 0, at most 1',
    ),
  )
  value_scale: str = key(
    'frame',
    'hsv: the images whose minimum and maximum scale the value, which is the'
    ' brightness: frame (each by itself, as in the code of 2112.05851: hardly'
    ' any motion is as bright as the apex), or clip (all images of a clip'
    ' together, so that their brightness can be compared; ours).',
    one_of('frame', 'clip'),
  )


@dataclasses.dataclass(frozen=True)
class Sampling:
  """Which frames a representation of single frames uses."""

  frames: int = key(16, 'Number of frames of each span.', between(1, 1000))
  span: str = key(
    'clip',
    'At equal steps from onset to offset (clip) or in each of data.phases'
    ' (phases), with repeated frames if there are fewer; or apex_window:'
    ' consecutive frames around the apex, interpolated if there are fewer'
    ' (2112.05851).',
    one_of('clip', 'phases', 'apex_window'),
  )


@dataclasses.dataclass(frozen=True)
class Data:
  """Which clips are used, and how they become the model's inputs."""

  dataset: str = key('', 'Builder: a folder of tfds_builders/.')
  variant: str = key(
    '', "Layout variant of the raw data set ('' = the best one found)."
  )
  protocol: str = key(
    '', 'Maps emotions to classes; `dianet check` lists the protocols.'
  )
  emotions: tuple[str, ...] = key(
    (),
    "A custom protocol instead: 'raw emotion=class' for each emotion, and"
    " 'raw emotion=' for an emotion that is left out.",
    Check(
      lambda pairs: (
        all('=' in pair for pair in pairs)
        and len({pair.partition('=')[0] for pair in pairs}) == len(pairs)
      ),
      "'raw emotion=class', each emotion once",
    ),
  )
  manual_dir: str = key('', 'Folder of the unpacked raw data set.')
  cache_dir: str = key(
    '',
    'Folder of prepared records, optical flow and compiled programs, which'
    " `dianet cache` lists and removes; '' = the environment variable"
    ' DIANET_CACHE, or ~/.cache/dianet_jax.',
  )
  skip_bad_clips: bool = key(
    False,
    'Leave out and list clips with unreadable frames, instead of stopping.',
  )
  annotation_policy: str = key(
    'repair',
    'Invalid annotations (an apex that is missing or outside the clip, an'
    ' offset beyond the frames, ...): repair (and note it), spot (repair, and'
    " spot an apex at the clip's ends), drop (the clip), or strict (stop).",
  )
  inputs: tuple[str, ...] = key(
    (),
    "Representations for the model's inputs, one for each, in its order; () ="
    ' those that the model declares.',
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
    'Order of the frames in a dynamic image: time, motion_intensity (by their'
    ' difference from the onset; 2510.09730, the measure is ours), or both: two'
    ' images of each phase, first that by time.',
    one_of('time', 'motion_intensity', 'both'),
  )
  offset_jitter_frames: int = key(
    0,
    'In training, move the offset up to this many frames earlier, drawn for'
    ' each clip and epoch, as offset annotations are uncertain (2603.04766).'
    ' Records end at the annotated offset, so it is never later, and at least'
    ' one frame after the apex. Prediction uses the annotated offset. Inputs'
    ' need 1 + this times the memory. 0 = off.',
    between(0, 100),
  )
  key_frame_search: float = key(
    0.0,
    'In training, also use the most different key frames, searched within this'
    ' fraction of a phase from the annotated ones (2603.04766: 0.1; 2505.16372:'
    ' 0.0375). Prediction uses the annotated key frames. 0 = off.',
    Check(lambda value: 0 <= value <= 0.5, '0 to 0.5'),
  )
  train_on_annotated: bool = key(
    True,
    'Whether training uses the annotated key frames besides those that'
    ' key_frame_search finds, with equal probability (ours); false: only those'
    ' that it finds, as in the code of 2603.04766 and 2505.16372.',
  )
  scale_jointly: bool = key(
    False,
    'skd_tstsan: whether apex and onset are scaled by their common minimum and'
    ' maximum (ours), so that no change of brightness looks like motion, or'
    ' each by its own, as in the code.',
  )
  crop: tuple[float, ...] = key(
    (0.0, 0.0, 1.0, 1.0),
    'Part of every frame that is used: top, left, bottom, right, as fractions'
    ' of the frame. For raw frames, whose faces are not cropped.',
    Check(
      lambda crop: (
        len(crop) == 4
        and all(0 <= low < high <= 1 for low, high in zip(crop, crop[2:]))
      ),
      '(top, left, bottom, right), fractions of the frame, 0..1',
    ),
  )
  align: bool = key(
    False,
    'Align faces: detect the face in the onset frame, and rotate and scale it'
    ' to a standard position, by one transform per clip. For raw frames; needs'
    ' the extra [align]. Ours.',
  )
  frame_size: int = key(
    224,
    'Frames are first resized to this size (pixels, square). At least twice'
    ' image_size: grey levels are integers, and averaging after pooling keeps'
    ' motions of a few levels. Ours.',
    between(8, 2048),
  )
  image_size: int = key(
    112,
    "Size of the model's images (pixels, square). Ours.",
    between(8, 1024),
  )
  scaling: str = key(
    'symmetric',
    'Scaling of each image: symmetric (divided by its largest absolute value),'
    ' minmax, standardize, grey_levels (divided by 127.5: stored images as they'
    ' are), or none. Ours.',
    one_of('symmetric', 'minmax', 'standardize', 'grey_levels', 'none'),
  )
  permute_labels: bool = key(
    False,
    'Control: shuffle the labels over all clips. Results should be at chance.',
  )
  flow: Flow = section(Flow)
  sampling: Sampling = section(Sampling)
  simulation: Simulation = section(Simulation)
