"""What `python -m benchmarks sync` measures, by subject."""
