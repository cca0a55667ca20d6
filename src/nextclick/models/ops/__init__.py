"""Building blocks of models: layers, graph operations, kernels."""
