"""CAS(ME)^2, part A."""
