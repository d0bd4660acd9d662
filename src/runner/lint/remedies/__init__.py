"""The Python to write instead."""
