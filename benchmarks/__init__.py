"""Speed and memory, measured: `python -m benchmarks [names]` (or `make bench`).

A benchmark is a module with a docstring (its first line is the title) and `run() -> list[Figure]`. Figures are ratios
of medians taken in one run wherever that is possible, since machines are shared and noisy.
"""
