"""The installed models, by what they declare."""

from nextclick.models.model_registry import model_class, model_names

NEURAL = [name for name in model_names() if model_class(name).default_capabilities.neural]
COMPOSITE = [name for name in model_names() if model_class(name).default_capabilities.composite]
COUNTING = [name for name in model_names() if name not in NEURAL + COMPOSITE]
