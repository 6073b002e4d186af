"""The evidence of an incident as one signed zip that anybody can check (D56; docs/reference/evidence-bundle.md)."""
