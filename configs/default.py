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
  config.evaluation = _evaluation()
  config.study = _study()
  config.parallel = _parallel()
  # Writes a trace of some epochs of training, for TensorBoard or Perfetto, to
  # profile/ in the workdir.
  config.profile = False
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
  # Weights of the frames: rank (approximate rank pooling), running_mean (the
  # same by another formula), linear. See dianet_jax/rank_pooling.py.
  data.coefficients = 'rank'
  # What ranks the frames of a phase: time, motion_intensity (2510.09730).
  data.frame_order = 'time'
  # Training also sees the phases of offsets up to so many frames earlier, one
  # drawn for each clip and epoch: offset annotations are uncertain
  # (2603.04766). Records end at the annotated offset, so never later; at least
  # one frame after the apex. Prediction uses the annotated one. Phase images
  # take 1 + this times the memory. 0 = off.
  data.offset_jitter_frames = 0
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
  # Channels of each stage; () = the backbone's own: (64, 128, 256, 512) and,
  # compact, (16, 32, 48). Ours.
  model.widths = ()
  # cross_attention (stated), concat, add, gated, first_phase, second_phase,
  # each_phase (every phase image is a training sample of its own; needs
  # share_backbone).
  model.fusion = 'cross_attention'
  # One set of weights for all phases.
  model.share_backbone = False
  # Tokens to a vector: mean, or flatten, which keeps where they lie. Ours.
  model.pool = 'mean'
  # Attention heads; they divide the last width (512, compact 48). Ours.
  model.heads = 4
  # Share of the fused features dropped in training. Ours.
  model.dropout = 0.5
  # Probability that one whole phase of a clip is hidden from the fusion in
  # training (Neverova et al., ModDrop, 2016). Ours.
  model.phase_dropout = 0.0
  return model


def _train() -> ml_collections.ConfigDict:
  # AdamW, linear warm-up, cosine decay to 0. All ours.
  train = ml_collections.ConfigDict()
  # evaluation.epochs says which of them predicts.
  train.epochs = 50
  # At most; clips are spread evenly over the steps of an epoch.
  train.batch_size = 32
  # The peak.
  train.learning_rate = 1e-3
  # Share of the steps in which the learning rate climbs to the peak.
  train.warmup_fraction = 0.1
  train.weight_decay = 1e-2
  train.label_smoothing = 0.1
  # Focal loss (Lin et al., 2017): clips that are right count less; 0 =
  # cross-entropy.
  train.focal_gamma = 0.0
  # Weight of a clip by its class's number of training clips: none,
  # inverse_frequency, effective_number (Cui et al., 2019: milder).
  train.class_balance = 'inverse_frequency'
  # 0 = none; towards 1 = inverse_frequency.
  train.effective_number_beta = 0.99
  # Predict with a running mean of parameters and batch statistics over the
  # steps, a memory of about 1 / (1 - decay) of them; 0 = off.
  train.ema_decay = 0.0

  # Of every clip in every step, all phases alike. Phase-aware temporal
  # augmentation (2510.15466), each phase a sample of its own, is
  # model.fusion=each_phase.
  train.augment = augment = ml_collections.ConfigDict()
  augment.flip_probability = 0.5
  # Channels whose sign turns with the face: horizontal optical flow.
  augment.negated_channels = ()
  # Largest shift, pixels of the phase image.
  augment.shift_pixels = 4
  # Largest rotation about the centre, either way; 0 = off. Not for optical
  # flow, whose vectors would have to turn, too.
  augment.rotation_degrees = 0.0
  # Mixup (Zhang et al., 2018): clips blended in pairs, shares from
  # Beta(alpha, alpha); 0 = off.
  augment.mixup_alpha = 0.0
  return train


def _evaluation() -> ml_collections.ConfigDict:
  evaluation = ml_collections.ConfigDict()
  # Which epoch predicts: fixed (the last), or inner_split: the one with the
  # lowest loss on some of the fold's training subjects, which are then not
  # trained on. Never one chosen by what the held-out subject scores.
  evaluation.epochs = 'fixed'
  # Share of the training subjects that inner_split sets aside.
  evaluation.validation_share = 0.2
  # Report, beside the result, what the best epoch of each fold, chosen on its
  # held-out subject, would give. Many publish it. Not a result.
  evaluation.oracle = False
  # A reported seed is the mean probability of so many trainings; their cost,
  # too.
  evaluation.ensemble = 1
  return evaluation


def _study() -> ml_collections.ConfigDict:
  # Several configurations in one command: configs/ablation.py, nested.py.
  study = ml_collections.ConfigDict()
  # '' (one run), ablation (every row, compared with the first) or nested (a
  # row chosen for each subject without looking at it).
  study.kind = ''
  # 'name: key=value key=value': what differs from this configuration.
  study.rows = ()
  # nested: groups of subjects.
  study.groups = 5
  # nested: trainings of each row and pair of groups.
  study.selection_seeds = 1
  return study


def _parallel() -> ml_collections.ConfigDict:
  parallel = ml_collections.ConfigDict()
  # 0 = all that jax sees; of a CPU every core is one, up to four.
  parallel.devices = 0
  # Folds on one device: loop (one fold, a program a step), unroll (several),
  # map or vmap (several, a program an epoch); auto = loop on a CPU, map
  # elsewhere.
  parallel.strategy = 'auto'
  # Folds trained at once on a device; 0 = all whose states fit its memory, of
  # unroll four. loop takes 1.
  parallel.folds_per_device = 0
  # float32, bfloat16 (parameters stay float32); auto = float32 on a CPU.
  parallel.compute_dtype = 'auto'
  # How often folds in training are written to disk; 0 = after every epoch.
  parallel.checkpoint_minutes = 10.0
  # Several processes, each with devices of its own: '' = this one alone, auto =
  # what the environment says (TPU pod, SLURM, Open MPI), or the address of
  # process 0 as host:port, with the number of processes and which this is.
  parallel.coordinator = ''
  parallel.processes = 1
  parallel.process = 0
  return parallel
