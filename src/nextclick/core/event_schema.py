"""The name of the records of an event log, which servers write and a refresh reads."""

from __future__ import annotations

EVENT_SCHEMA = "nextclick.event/1"  # field `schema` of each record
EVENT_FIELD = b"event"  # the field of an entry of a Redis stream that contains the record
