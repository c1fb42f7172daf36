"""Records -> named inputs and labels of a protocol's clips; folds as tables.

In: the records of `tfds_builders`. Out: `Dataset` and `Folds`.
May import: tfds_builders, motion, clips, models, core.
"""
