"""Benchmarks: `python -m tests.bench` (or `make bench`) measures and prints; nothing here asserts a time."""
