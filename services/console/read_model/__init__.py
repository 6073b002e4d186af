"""Keep the read model in Redis and its history on disk, and answer queries."""
