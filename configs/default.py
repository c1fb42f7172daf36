"""Every key of the configuration, with its default and what it means.

Not to be run itself: a data set's config holds the differences. "Ours" marks a
choice on which the paper (arXiv 2510.12219) is silent.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """The defaults."""
  config = ml_collections.ConfigDict()
  # Names the run and its default workdir, runs/<name>-<hash of the config>.
  config.name = 'default'
  # The first seed; shuffling, initialisation and augmentation follow from it.
  config.seed = 0
  # How many seeds, counted up from the first; results are their mean.
  config.seeds = 1
  config.data = _data()
  config.model = _model()
  config.train = _train()
  config.parallel = _parallel()
  return config


def _data() -> ml_collections.ConfigDict:
  data = ml_collections.ConfigDict()
  # Builder: a folder of tfds_builders/.
  data.dataset = ''
  # Layout variant where a data set has several ('' = the best one found).
  data.variant = ''
  # Emotions to classes; dianet_jax/protocols.py lists them.
  data.protocol = ''
  # A protocol of your own instead: 'raw emotion=class' for each emotion, and
  # 'raw emotion=' for one that is left out knowingly.
  data.emotions = ()
  # The raw data set as licensed, unpacked.
  data.manual_dir = ''
  # Prepared records and compiled programs; '' = ~/.cache/dianet_jax, or the
  # folder that the environment variable DIANET_CACHE names.
  data.cache_dir = ''
  # Leave out clips with unreadable frames, and say which. Otherwise they stop
  # the run.
  data.skip_bad_clips = False
  # Annotations in doubt (an apex that is missing or outside the clip, an
  # offset beyond the frames, ...): repair and say so, spot (repair, and spot
  # an apex at the clip's ends too), drop the clip, or strict: stop.
  data.annotation_policy = 'repair'
  # Phase images, in order: onset_apex, apex_offset, onset_offset. Stated.
  data.phases = ('onset_apex', 'apex_offset')
  # Part of every frame that is used: top, left, bottom, right, as shares of
  # the frame. For raw frames, whose faces are not cropped.
  data.crop = (0.0, 0.0, 1.0, 1.0)
  # Find the face on the onset frame and bring it upright and to one size, by
  # one transform a clip. For raw frames; needs the extra [align]. Ours.
  data.align = False
  # Frames are reduced to this size (pixels, square) before rank pooling. Twice
  # the network's size or more: grey levels are whole numbers, and averaging
  # after pooling loses none of a motion of a few levels. Ours.
  data.frame_size = 224
  # Phase images as the network sees them, pixels, square. Ours.
  data.image_size = 112
  # Phase images to the network's range, each by itself: symmetric (divided by
  # the largest absolute value), minmax, standardize. Ours.
  data.scaling = 'symmetric'
  # The control: labels shuffled over all clips. Results must lie at chance.
  data.permute_labels = False

  # A simulated raw data set in the layout of data.dataset, instead of
  # data.manual_dir. No real person, no real result.
  data.simulation = simulation = ml_collections.ConfigDict()
  simulation.enabled = False
  simulation.subjects = 6
  simulation.clips_per_subject = 10
  simulation.seed = 0
  return data


def _model() -> ml_collections.ConfigDict:
  model = ml_collections.ConfigDict()
  # resnet18, or compact for small images. One CNN a phase is stated, which
  # one is ours.
  model.backbone = 'resnet18'
  # cross_attention (stated), concat, add, gated, first_phase, second_phase.
  model.fusion = 'cross_attention'
  # One set of weights for all phases.
  model.share_backbone = False
  # Tokens to a vector: mean, or flatten, which keeps where they lie. Ours.
  model.pool = 'mean'
  # Attention heads; they divide the feature width (512, compact 48). Ours.
  model.heads = 4
  # Share of the fused features dropped in training. Ours.
  model.dropout = 0.5
  return model


def _train() -> ml_collections.ConfigDict:
  # AdamW, linear warm-up, cosine decay to 0. All ours.
  train = ml_collections.ConfigDict()
  # Fixed: no epoch is chosen by what the held-out subject scores.
  train.epochs = 50
  # At most; clips are spread evenly over the steps of an epoch.
  train.batch_size = 32
  # The peak.
  train.learning_rate = 1e-3
  # Share of the steps in which the learning rate climbs to the peak.
  train.warmup_fraction = 0.1
  train.weight_decay = 1e-2
  train.label_smoothing = 0.1
  # Weigh clips inversely to their class's share of the training clips.
  train.balance_classes = True

  train.augment = augment = ml_collections.ConfigDict()
  augment.flip_probability = 0.5
  # Channels whose sign turns with the face: horizontal optical flow.
  augment.negated_channels = ()
  # Largest shift, pixels of the phase image.
  augment.shift_pixels = 4
  return train


def _parallel() -> ml_collections.ConfigDict:
  parallel = ml_collections.ConfigDict()
  # 0 = all that jax sees.
  parallel.devices = 0
  # Folds on one device: loop (one program a step), map, vmap; auto = loop on
  # a CPU, map elsewhere.
  parallel.strategy = 'auto'
  # Folds trained at once on a device; 0 = all for map and vmap. loop takes 1.
  parallel.folds_per_device = 0
  # float32, bfloat16 (parameters stay float32); auto = float32 on a CPU.
  parallel.compute_dtype = 'auto'
  return parallel
