"""Published networks, one file and a row of `models.registry` each.

What several of them share: `flow_images` and `frames` (what they read),
`retention`, `magnifier` and `tcm` (their parts). In: named inputs. Out:
`Outputs`. May import: the rest of models, core.
"""
