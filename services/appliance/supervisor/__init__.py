"""Run every process of one machine: start, watch, restart and stop them, and report their state.

`plan` names the processes, `child` runs one of them, `supervisor` all of them, `up` is the work of
`vigie up`. The supervisor decides nothing about data: killing it, or any process, at any moment
loses nothing.
"""
