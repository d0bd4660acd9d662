"""SQL as parse trees of PostgreSQL's own grammar."""
