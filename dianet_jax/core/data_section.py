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

  It takes the place of data.manual_dir. No real person, no real result.
  """

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
