"""Models: named inputs -> logits; each one file and one row of `registry`.

In: arrays by name, clips leading. Out: `registry.Outputs`.
May import: core.
"""
