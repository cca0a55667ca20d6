"""Models that count: popularity, item and session neighbors, transitions."""
