"""Experiment trackers: runs with their parameters, metrics, files and models; MLflow's models."""
