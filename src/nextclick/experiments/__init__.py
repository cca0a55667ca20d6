"""Experiments and model updates as functions: train, evaluate, compare, tune, sweep, refresh."""
