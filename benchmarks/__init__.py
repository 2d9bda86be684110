"""Measurements with targets: `python -m benchmarks NAME [--quick]`. Each figure is one line of JSON on standard output.

Speeds of one machine say little, so each is measured side by side with a reference in the same run, and what counts is
the ratio.
"""
