"""Neural models, one file each."""
