"""Actions that the cell gives to people. Rule D87."""
