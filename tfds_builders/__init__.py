"""TFDS builders that turn raw micro-expression data sets into records."""
