"""Layers that all models share: convolution, normalisation, pooling, attention.

In: arrays. Out: arrays. May import: core.
"""
