"""Run Alembic revisions the same way from a Lambda, a laptop and CI.

The map, from the doors down; a module imports what is below it, and nothing above:

    __main__ cli        the command line          handler         the Lambda
    environment         what alembic/env.py calls doctor/         checks of what a run needs

    commands            one function a verb       authoring       `new` and `snapshot`

    preview/            plan, lint, rehearsal, check: what a change would do

    engine/             migrate (attempts), steps (around each revision), state, preconditions, history, baseline,
                        data_loss, plan_id, ledger, repair, watchdog: what changes a database
    aws/                invoke, log_tail, client_errors, environments, promote

    schema/             the catalog as data, drift, its queries
    script/             the revisions as files (identifiers), as a graph (graph, linear, step), as SQL (offline)

    postgres/           connections (conninfo, connect, session, embedded), transactions, time-outs, the advisory
                        lock, the version table, invalid indexes, SQLSTATEs, the one reader of SQL (sql)
    output/             tables, JSON, Markdown, SARIF, progress

    payloads answer results errors policy settings project invocation deadline    plain data
    operations          what revisions import     interpreter     settings for a short start
    signals             Ctrl-C and SIGTERM

`docs/architecture.md` follows one payload through it. import-linter keeps the order (`make lint`).
"""

__version__ = "0.1.0"
