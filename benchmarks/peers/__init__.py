"""What the benchmarks compare this project with."""
