"""Tests of the sandbox's container."""
