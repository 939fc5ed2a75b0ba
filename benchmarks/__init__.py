"""Benchmarks: times and memory as ratios to a floor that is measured in the same run, each with a budget."""
