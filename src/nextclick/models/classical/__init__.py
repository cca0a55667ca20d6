"""Counting, neighbor and factor models."""
