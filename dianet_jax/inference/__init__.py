"""Using trained networks: bundles, and predictions for clips and videos.

In: a bundle, and frames or videos. Out: probabilities and reports.
May import: explanation, training, data, tfds_builders, motion, clips, models,
  core.
"""
