"""Configurations: `default` holds every key, the others differences."""
