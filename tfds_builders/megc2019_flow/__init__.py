"""MEGC 2019 as phase-wise optical flow."""
