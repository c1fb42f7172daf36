"""Predictions -> pooled metrics, comparisons, tables, report, pictures.

In: `FoldResult`s, or the `predictions.csv` of runs. Out: metrics and files.
May import: explanation and the packages below it; of inference, only data
  classes.
"""
