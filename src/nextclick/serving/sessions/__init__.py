"""Live sessions: the interface of session stores, and a module for each backend."""
