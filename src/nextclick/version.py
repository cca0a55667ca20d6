"""The version, where it costs nothing to read."""

__version__ = "0.1.0"
