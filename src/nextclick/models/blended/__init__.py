"""The blend: one model over the recommendations of other models."""
