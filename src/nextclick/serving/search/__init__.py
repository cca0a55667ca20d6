"""Top-K search over the scores of a model."""
