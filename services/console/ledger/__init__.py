"""Costs of a crisis, each with its source in the log. Rule D93."""
