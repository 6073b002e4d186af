"""On-call rules: assignment, schedules, rest times, reachability.

Pure; used by the decider, the console and the command line.
"""
