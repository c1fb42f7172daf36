"""Predictions -> pooled metrics, comparisons, tables, report, pictures.

In: `FoldResult`s, or the `predictions.csv` of runs. Out: figures and files.
May import: training and what stands below it; of inference data classes only.
"""
