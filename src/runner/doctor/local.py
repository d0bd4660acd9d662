"""The probes of a database that this machine reaches itself."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from sqlalchemy import Connection, text

from runner import settings
from runner.answer import Draft
from runner.deadline import Deadline
from runner.doctor import checks
from runner.doctor.checks import Probe, ProbeFailed, ProbeSkipped
from runner.errors import MultipleHeads, count, translating
from runner.postgres import advisory_lock, blocker, connect, conninfo, search_path, session, trust
from runner.postgres.conninfo import ConnInfo
from runner.project import quote
from runner.script import graph

LOGIN_TIMEOUT_S = 10
"""Enough for a server that is running, and less than the minute in which a run waits for a paused one."""
CONNECT_TIMEOUT_S = 5
OLDEST = 14
"""The oldest version of PostgreSQL that is supported."""
# Before the first run of all, and of this project, CREATE is what counts. Not `to_regclass`: it fails without USAGE.
PRIVILEGES = text("""
    with relations as (
        select c.oid, c.relname, n.nspname, n.oid as schema
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
    )
    select current_user as role, current_database() as database,
           coalesce((select has_schema_privilege(schema, 'USAGE') and has_table_privilege(oid, 'INSERT')
                     from relations where nspname = 'runner' and relname = 'migration_log'),
                    has_database_privilege(current_database(), 'CREATE')) as ledger,
           has_schema_privilege('public', 'CREATE') as tables,
           exists (select from pg_namespace where nspname = :schema) as schema,
           coalesce((select has_schema_privilege(oid, 'USAGE') and (
                            has_schema_privilege(oid, 'CREATE') or nspname = 'public'
                            or exists (select from relations where nspname = :schema and relname = :name))
                     from pg_namespace where nspname = :schema), false) as home,
           coalesce((select has_table_privilege(oid, 'UPDATE') from relations
                     where nspname = :schema and relname = :name), true) as version
""")


@dataclass
class LocalState:
    """State that the probes share."""

    environ: Mapping[str, str]
    deadline: Deadline
    request_id: str
    stack: ExitStack
    source: str = ""
    """The setting that names the database."""
    address: ConnInfo | None = None
    connection: Connection | None = None

    @property
    def opened(self) -> Connection:
        """Return the connection."""
        assert self.connection is not None  # noqa: S101 - only probes after `login` use it
        return self.connection

    @property
    def located(self) -> ConnInfo:
        """Return the address."""
        assert self.address is not None  # noqa: S101 - only probes after `settings` use it
        return self.address

    def endpoints(self) -> list[tuple[str, int]]:
        """Return the hosts and ports that libpq will try. Raises `ProbeSkipped` for a socket."""
        named = conninfo.hosts(self.located, self.environ.get("PGHOST"))
        hosts = [host for host in named if not host.startswith("/")]
        if not hosts:
            raise ProbeSkipped("The server is reached through a local socket.")
        ports = [int(number or 5432) for number in self.located.get("port", "").split(",")]
        # one port is that of every host: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
        return list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))


def examine(environ: Mapping[str, str], deadline: Deadline, draft: Draft) -> None:
    """Check what a run on this machine needs, from the settings to the revisions."""
    with ExitStack() as stack:
        state = LocalState(environ, deadline, draft.request_id, stack)
        checks.examine(
            [
                Probe("settings", None, lambda: _settings(state)),
                Probe("name", "settings", lambda: _name(state)),
                Probe("port", "name", lambda: _port(state)),
                Probe("tls", "settings", lambda: _tls(state)),
                Probe("login", "port", lambda: _login(state)),
                Probe("version", "login", lambda: _version(state)),
                Probe("writer", "login", lambda: _writer(state)),
                Probe("rights", "login", lambda: _rights(state)),
                Probe("trust", "login", lambda: _trust(state)),
                Probe("lock", "login", lambda: _lock(state)),
                Probe("activity", "login", lambda: _activity(state)),
                Probe("revisions", None, lambda: _revisions(state)),
            ],
            draft,
        )


def _settings(state: LocalState) -> str:
    configured = settings.read(state.environ)
    source = conninfo.source(configured)
    state.source = source.setting
    state.address = conninfo.secure(source.read(False), configured)
    return f"The database `{state.address.get('dbname')}` is named by {source.setting}."


def _name(state: LocalState) -> str:
    resolved = [_resolve(host, port, state.source) for host, port in state.endpoints()]
    return f"{', '.join(resolved)} resolves."


def _resolve(host: str, port: int, source: str) -> str:
    advice = "where only a VPC resolves the name, check from there with `--env`."
    failed = ProbeFailed(f"`{host}` does not resolve.", f"Correct the host in {source}; {advice}")
    with translating(OSError, lambda _: failed):
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return f"`{host}`"


def _port(state: LocalState) -> str:
    refused = ""
    # one that answers is enough, as for libpq
    for host, port in state.endpoints():
        try:
            socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
        except TimeoutError:
            refused = f"`{host}:{port}` did not answer within {CONNECT_TIMEOUT_S} s."
        except OSError:
            refused = f"Nothing listens on `{host}:{port}`, or no route leads there."
        else:
            return f"`{host}:{port}` accepts connections."
    raise ProbeFailed(
        refused, f"Start the server, correct host and port in {state.source}, or open its security group."
    )


def _tls(state: LocalState) -> str:
    mode = state.located.get("sslmode")
    if mode is None:
        return "The server is local; libpq decides about TLS."
    return f"`sslmode={mode}`" + (
        " verifies the server's certificate." if mode == "verify-full" else " does not verify the server's certificate."
    )


def _login(state: LocalState) -> str:
    configured = settings.read(state.environ)
    engine = connect.open_engine(configured, state.request_id, state.deadline.earlier(LOGIN_TIMEOUT_S))
    # AUTOCOMMIT: a failed query of one probe must not abort those of the next ones
    state.connection = state.stack.enter_context(engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
    role, name = state.connection.exec_driver_sql("select current_user, current_database()").one()
    return f"`{role}` is connected to `{name}`."


def _version(state: LocalState) -> str:
    number, shown = state.opened.exec_driver_sql(
        "select current_setting('server_version_num')::int / 10000, current_setting('server_version')"
    ).one()
    if number < OLDEST:
        raise ProbeFailed(f"The server is PostgreSQL {shown}.", f"Upgrade it to {OLDEST} or newer.")
    return f"PostgreSQL {shown}."


def _writer(state: LocalState) -> str:
    session.refuse_read_only(state.opened)
    return "The server accepts writes."


def _rights(state: LocalState) -> str:
    version_table = connect.version_table(state.opened)
    found = state.opened.execute(PRIVILEGES, vars(version_table)).one()
    schema, role = quote(version_table.schema), quote(found.role)
    home = f"GRANT USAGE, CREATE ON SCHEMA {schema} TO" if found.schema else f"CREATE SCHEMA {schema} AUTHORIZATION"
    grants = {
        f"GRANT CREATE ON DATABASE {quote(found.database)} TO {role}": found.ledger,
        f"GRANT CREATE ON SCHEMA public TO {role}": found.tables,
        f"{home} {role}": found.home,
        f"GRANT ALL ON {version_table.quoted} TO {role}": found.version,
    }
    lacking = [grant for grant, granted in grants.items() if not granted]
    if lacking:
        raise ProbeFailed(
            f"The role `{found.role}` lacks privileges that a run requires.",
            f"As the owner run `{'; '.join(lacking)}`, or set `DB_ROLE` to the owner.",
        )
    return f"`{found.role}` may create tables and write the ledger."


def _trust(state: LocalState) -> str:
    trust.look(state.opened)
    schema = search_path.PROJECT
    shadows = trust.shadows(state.opened, schema)
    if shadows:
        first = shadows[0]
        raise ProbeFailed(
            f"`{first.owner}` has put {first.name} into `{schema}`, under the name of one of PostgreSQL's own.",
            f"Find out why it is there; unless it is needed, run `DROP {first.name}`.",
        )
    if trust.is_open(state.opened, schema):
        return f"Every role may create objects in `{schema}`; `REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC` ends that."
    return "No other role's code runs in a migration."


def _lock(state: LocalState) -> str:
    holder = advisory_lock.holder(state.opened)
    if holder is not None:
        wait = "Wait until it has ended (`migrate current`)."
        raise ProbeFailed(holder.sentence, wait if holder.is_migration else f"{holder.ending}.")
    return "The migration lock is free."


def _activity(state: LocalState) -> str:
    login = state.opened.exec_driver_sql(blocker.query("login")).one()
    lacking = [role for role, has in (("pg_monitor", login.sees), ("pg_signal_backend", login.ends)) if not has]
    if lacking:
        # a run requires neither, so that it is not a failure
        grant = f"GRANT {', '.join(lacking)} TO {quote(login.login)}"
        raise ProbeSkipped(f"A superuser may run `{grant}` for `migrate activity` and `end-session`.")
    return f"`{login.login}` sees what other sessions do, and may end them."


def _revisions(state: LocalState) -> str:
    revisions = graph.load(settings.read(state.environ))
    # a run imports a revision only when its turn comes
    revisions.import_all()
    if len(revisions.heads) > 1:
        raise MultipleHeads(tuple(revisions.heads))
    return f"{count(len(list(revisions.script.walk_revisions())), 'revision')}, up to `{revisions.heads[0]}`."
