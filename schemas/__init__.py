"""Define the contract of Vigie: every input, command and fact."""
