"""Where a server writes its event log: files by the hour, a topic of Kafka, a stream of Redis."""
