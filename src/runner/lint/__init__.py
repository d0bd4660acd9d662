"""The lint of a plan: rules over the statements of its revisions, with this database's tables in mind."""
