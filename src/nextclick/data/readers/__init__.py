"""Readers of raw click logs: sources, columns, formats, times."""
