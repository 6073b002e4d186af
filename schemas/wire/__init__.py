"""Envelopes, parts of records, shared objects and forms of text on the wire."""
