"""Frames in, frames out: decode, fit, align, spot. Knows no data set.

In: image files or frames. Out: uint8 frames of one size, and key frames.
May import: core.
"""
