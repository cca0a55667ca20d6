"""What every layer shares: types, sessions, vocabularies, configs, storage."""
