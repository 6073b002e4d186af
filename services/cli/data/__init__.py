"""Commands for reference data, logs, backups and repair."""
