"""The forms of layers that XLA is fast at on a CPU.

Used by `models.layers` alone, and switched off there as a whole.
May import: core.
"""
