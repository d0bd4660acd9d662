"""Check what a run needs."""
