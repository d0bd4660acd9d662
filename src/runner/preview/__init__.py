"""Look ahead: what a change would do, what is unsafe in it, and what differs from the snapshots."""
