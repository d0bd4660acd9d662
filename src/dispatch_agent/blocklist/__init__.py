"""A tenant's blocklist: its keys, and the rows that name nobody."""
