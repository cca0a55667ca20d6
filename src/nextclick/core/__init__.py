"""Shared types and registries without dependencies on the rest of the package."""
