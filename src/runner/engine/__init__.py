"""Change a database: the steps, what is checked before them, and what is recorded of them."""
