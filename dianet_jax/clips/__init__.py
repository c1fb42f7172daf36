"""Operations on frames: decode, fit, align, spot. Independent of data sets.

In: image files or frames. Out: uint8 frames of one size, and key frames.
May import: core.
"""
