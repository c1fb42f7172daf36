"""Predictions -> pooled metrics, comparisons, tables, report, pictures.

In: `FoldResult`s, or the `predictions.csv` of runs. Out: figures and files.
May import: explanation and what stands below; of inference data classes only.
"""
