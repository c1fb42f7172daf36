"""Runs and studies: data, folds, training, results in a workdir.

In: a `Config`. Out: a workdir. May import: all other packages.
"""
