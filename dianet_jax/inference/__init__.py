"""Trained networks in use: bundles, and what they say of clips and videos.

In: a bundle, and frames or videos. Out: probabilities, and files about them.
May import: explanation, training, data, tfds_builders, motion, clips, models,
  core.
"""
