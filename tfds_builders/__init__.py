"""Converts raw data sets to records; each data set has one folder.

In: raw folders as licensed users have them, or simulated ones. Out: records
(`prepare`), and the facts (`registry`) and `protocols` of each data set.
May import: motion, clips, models, core. The folders of data sets import these
modules; `registry` finds the folders.
"""
