"""Live sessions and where they are stored."""
