"""Backbones: images -> feature map.

In: [clip, height, width, channel]. Out: [clip, rows, columns, feature].
May import: models.layers, models.official, core.
"""
