"""The checks of `migrate doctor`: what a run needs, and what to do where it is missing."""
