"""Run the whole system on one machine: supervisor, embedded broker and embedded store."""
