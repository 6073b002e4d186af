"""The console: read model, REST and live API, pages. Reads the three logs through Redis; decides nothing."""
