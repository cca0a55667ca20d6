"""Encoders exported to ONNX: their files in an artifact, and the model that a server loads."""
