"""Blocks of prefixes and batches of sessions."""
