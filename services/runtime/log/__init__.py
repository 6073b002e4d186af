"""Read, append to and check the append-only Kafka log of a decider."""
