"""Convert the on-call configuration of other products to rotations, steps and people. Pure."""
