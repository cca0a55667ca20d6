"""From a raw click log to a prepared store."""
