"""Building blocks of all packages: types, sessions, vocabularies, configs, storage."""
