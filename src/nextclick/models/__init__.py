"""Models: what they share, and the registry of those that are installed."""
