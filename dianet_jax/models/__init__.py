"""Backbones, fusions and the dual-stream network made of them."""
