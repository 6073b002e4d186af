"""Evidence of an incident as one signed zip that anybody can check.

See `docs/reference/evidence-bundle.md`. Rule D56, exports.
"""
