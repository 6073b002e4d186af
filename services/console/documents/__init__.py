"""Documents that people read, send and keep: situation reports, lessons learned, evidence.

Drafting is pure: facts in, a `Document` out. Every form (page, static HTML, text, JSON, PDF) comes
from this one model. Rules D53 and D54.
"""
