"""Basic code that every other package uses.

Errors, progress, processes, devices, files, the types of the configuration.

In: nothing of this project. Out: helpers and plain data types.
May import: no other package of the project.
"""
