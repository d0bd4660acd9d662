"""The dispatch agent: on which channel each lead would be contacted, and what would stop it."""
