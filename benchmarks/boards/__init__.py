"""What `python -m benchmarks ranks` measures, part by part."""
