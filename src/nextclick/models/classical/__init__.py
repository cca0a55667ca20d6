"""Counting, neighbor and factor models, which need no PyTorch."""
