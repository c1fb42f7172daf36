"""Simulated raw data sets: drawn faces, their motion, the data sets' layouts.

In: a seed and the facts of a data set. Out: a raw folder in its layout.
May import: tfds_builders, core.
"""
