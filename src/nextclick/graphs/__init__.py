"""Item graphs: consecutive clicks, temporal graphs with decay, and random walks."""
