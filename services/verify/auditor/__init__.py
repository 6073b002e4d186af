"""Auditor: a process that checks conservation laws from the logs all the time, in little memory.

Start it with `python -m services.verify.auditor`. `vigie verify` checks everything at once in
memory; the auditor checks records as they come and keeps only open items.
"""
