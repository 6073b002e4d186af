"""Kafka clients, topics, compacted topics and dead letters."""
