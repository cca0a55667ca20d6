"""Types, sessions, vocabularies, configs and storage that every other package builds on."""
