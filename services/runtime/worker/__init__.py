"""Run one decider on the log partitions that its consumer group assigns."""
