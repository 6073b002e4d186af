"""Codes of the deciders as sentences in the reader's language (fr, en).

Deciders record codes and values (`Why`, `IncidentRow.kind`, facts); only this package words them.
Pure: rows and names in, text out. Names of sites, plans and tasks belong to the territory and stay
in its language.
"""
