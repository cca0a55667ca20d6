"""Preparation of click logs: readers, sessions, filters, splits and the store."""
