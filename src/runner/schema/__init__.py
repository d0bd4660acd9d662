"""The catalog of a database as data, and how two of them differ."""
