"""Invoke the function, follow its log, and promote its image."""
