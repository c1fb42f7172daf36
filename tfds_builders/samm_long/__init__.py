"""SAMM Long Videos."""
