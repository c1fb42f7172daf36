"""Raw data sets -> records, and all facts of a data set in its own folder.

In: raw folders as licensed users have them, or simulated ones. Out: records
(`prepare`), the facts (`registry`) and `protocols` of each data set.
May import: motion, clips, models, core; the folders of data sets import these
modules, and `registry` finds them.
"""
