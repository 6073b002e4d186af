"""Runs every process of one machine: starts, watches, restarts and stops them, and tells what it sees.

`plan` names the processes, `child` runs one of them, `supervisor` all of them, `up` is what `vigie up` does. The supervisor
decides nothing about data: killing it, or any process, at any moment loses nothing.
"""
