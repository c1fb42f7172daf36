"""Representations: inputs of models, computed from the frames of clips.

In: decoded frames and key frames of a batch of clips, or images that a data
set stores. Out: one array for each representation, clips leading.
May import: clips, models, core.
"""
