"""The log of decisions: how it is written, counted and deleted from."""
