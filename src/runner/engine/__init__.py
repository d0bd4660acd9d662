"""Change a database: attempts and steps, the preconditions before them, the ledger of what ran."""
