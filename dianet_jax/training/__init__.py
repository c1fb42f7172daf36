"""Training of one fold, and of many folds side by side.

In: a `Dataset`, `Folds`, a model and an objective. Out: `FoldResult`s.
One fold: trainer, objectives, augment. Many: parallel, programs, group,
results, checkpoints, resume. May import: data and the packages below it.
"""
