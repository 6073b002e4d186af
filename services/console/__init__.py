"""Console: read model, REST and live API, pages. It reads through Redis and decides nothing."""
