"""Learn from a click log what a visitor will click next."""

__version__ = "0.1.0"
