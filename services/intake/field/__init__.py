"""Reports of people in the field who fill in no form: a text message, a line that the cell types for a caller, a poster on a wall."""
