"""Handovers of the crisis cell: queries, resources and routes. Rule D115."""
