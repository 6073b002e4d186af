"""Knowledge about on-call duty: who stands where, who is rested, who would be reached. Pure; used by the decider, the console and the shell."""
