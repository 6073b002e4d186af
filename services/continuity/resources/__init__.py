"""Resource requests and stocks. Rule D88."""
