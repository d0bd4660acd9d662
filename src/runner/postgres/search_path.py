"""The two values of `search_path`: that of our own statements, and the project's, under which revisions run.

Whoever may create objects in a schema of the path has functions and operators called there, with our privileges, where
those of pg_catalog fit less exactly. https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATTERNS
"""

OWN = "pg_catalog"
PROJECT = "public"
"""PostgreSQL's default, `"$user", public`, would create objects in a schema with the role's name where there is one."""

ENTER, LEAVE = f"set search_path = {PROJECT}", f"set search_path = {OWN}"
"""What begins and ends the time in which statements are the project's."""
