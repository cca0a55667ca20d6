"""Reads, groups and sorts a log with Apache Spark, for `prepare --engine spark`."""
