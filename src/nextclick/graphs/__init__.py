"""Graphs of items: what was clicked next to what, over the days, and walks on it."""
