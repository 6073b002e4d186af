"""Commands for simulations: exercises and replays."""
