"""Resource requests and stocks of the console. Rule D88."""
