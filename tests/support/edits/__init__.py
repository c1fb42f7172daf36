"""Edits of raw trees, by what they change."""
