"""Simulation of click logs with a known structure."""
