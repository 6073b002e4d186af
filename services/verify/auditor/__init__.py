"""The auditor: a process that checks conservation from the logs alone, for ever, in little memory (`python -m services.verify.auditor`).

What `vigie verify` checks once with everything in memory, it checks as records come, keeping only what is still open.
"""
