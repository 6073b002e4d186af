"""Check the guarantees from the logs alone, with code that is independent of the runtime.

Shares only the contract in `schemas` with the runtime: no reader, chain or core. Checks
conservation laws and never applies the domain rules again.
"""
