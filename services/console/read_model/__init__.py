"""Keep the read model in Redis, its history on disk, and answer queries."""
