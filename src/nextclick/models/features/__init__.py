"""Features of items as inputs of neural models."""
