"""The dispatch agent: on which channel a lead would be contacted, and what would stop it."""
