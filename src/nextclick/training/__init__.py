"""Fits neural models: batches in, weights out; told how good they are by whoever asks for it.

Nothing here imports the evaluation or the data: validation is a callable.
"""
