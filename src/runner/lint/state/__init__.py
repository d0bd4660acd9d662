"""The tables at each moment of a plan, and its statements."""
