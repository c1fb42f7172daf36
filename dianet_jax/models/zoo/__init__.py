"""Published networks, one file and one row of `models.registry` each.

In: named inputs. Out: `Outputs`. May import: the rest of models, core.
"""
