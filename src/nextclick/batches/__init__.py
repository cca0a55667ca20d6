"""Batches of training and evaluation samples, and negative sampling."""
