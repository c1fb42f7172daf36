"""Raw data sets -> records; one folder with all facts for each data set.

In: raw folders as licensed users have them, or simulated ones. Out: records
(`prepare`), and the facts (`registry`) and `protocols` of each data set.
May import: motion, clips, models, core. The folders of data sets import these
modules; `registry` finds the folders.
"""
