"""The tablespaces of this database, which its catalog as plain data leaves out."""

from sqlalchemy import Connection, text

from runner.lint.state.tablespaces import Tablespaces

DEFAULT = text("""
    select t.spcname from pg_catalog.pg_database d join pg_catalog.pg_tablespace t on t.oid = d.dattablespace
    where d.datname = pg_catalog.current_database()
""")
# a relation in the database's own tablespace has no number
OTHERS = text("""
    select n.nspname, c.relname, t.spcname
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_tablespace t on t.oid = c.reltablespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
""")


def read(connection: Connection) -> Tablespaces:
    """Return where the tables and indexes of the database of `connection` are."""
    default = str(connection.execute(DEFAULT).scalar_one())
    others = {(row.nspname, row.relname): row.spcname for row in connection.execute(OTHERS)}
    return Tablespaces(default, others)
