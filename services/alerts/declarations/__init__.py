"""Apply the declarations of authorities and operators."""
