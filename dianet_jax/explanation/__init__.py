"""Trained networks -> which part of the face decided, clip by clip.

In: a network, and what it reads of one clip. Out: shares of face regions, maps.
May import: training, data, tfds_builders, motion, clips, models, core.
"""
