"""Assign staff to work and places when sites close or staff is missing.

Tables and a situation become quantities, quantities become admissible moves, and moves become a
linear program. Its lexicographic optimum becomes a proposal for a person to decide. Everything here
is a function of its arguments: no clock, no randomness, no I/O. See
`docs/reference/reassignment-model.md`.
"""
