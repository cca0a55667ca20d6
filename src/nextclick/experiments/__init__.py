"""What the commands do, as functions: train, evaluate, compare, run."""
