"""Run Alembic revisions the same way from a Lambda, a laptop and CI."""

__version__ = "0.1.0"
