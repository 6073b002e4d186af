"""Checks the promises from the logs alone, by a code path of its own: not the runtime's reader, chain or core.

It shares with the runtime only the contract in `schemas`. It checks conservation laws, never the domain's rules again.
"""
