"""The catalog of a database as data, and the differences between two catalogs."""
