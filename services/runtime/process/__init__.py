"""Settings, logging, metrics, tracing, health and files of a process."""
