"""Trained networks -> explanations: which part of the face decided, by clip.

In: a network and the inputs of one clip. Out: shares of face regions, maps.
May import: training, data, tfds_builders, motion, clips, models, core.
"""
