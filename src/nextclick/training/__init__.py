"""Trains neural models: batches, losses, optimizers, checkpoints and progress.

The package imports neither `nextclick.evaluation` nor `nextclick.data`; validation is a callable.
"""
