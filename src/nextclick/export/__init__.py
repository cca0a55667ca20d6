"""Export of trained models to formats of other programs."""

from nextclick.export.onnx_export import export_onnx

__all__ = ["export_onnx"]
