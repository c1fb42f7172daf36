"""MEGC 2019 composite from the raw data sets."""
