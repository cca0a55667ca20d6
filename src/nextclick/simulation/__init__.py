"""Simulated click logs with known structure."""
