"""Logs that earlier releases wrote, with the hash of what they fold to. Every later release must fold them to the same."""
