"""Published networks, one file and one row of `models.registry` each.

Several of them share `flow_images` and `frames` (their inputs), `retention`,
`magnifier` and `tcm` (their parts). "Source" in a docstring says where each
choice comes from: stated (in the paper), measured (in the authors' code) or
ours.

In: named inputs. Out: `Outputs`. May import: the rest of models, core.
"""
