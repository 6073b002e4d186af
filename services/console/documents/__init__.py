"""Documents that people read, send and keep: points de situation (D54), lessons learned (D53), evidence.

Drafting is pure: facts in, a `Document` out; one model for every form (page, static HTML, text, JSON, PDF), so all forms say the same.
"""
