"""The only place where Alembic meets a connection: hand its context over."""

from logging.config import fileConfig

from alembic import context

from runner import signals


def load_metadata():
    from models import Base

    return Base.metadata


# Only Alembic's own command line brings `cmd_opts`; the other doors have set up their logging and their signals.
if context.config.cmd_opts is not None:
    signals.exit_at_once()
    if context.config.config_file_name is not None:
        # the application's loggers are kept: fileConfig would silence them by default
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)

from runner import environment  # noqa: E402 - it takes a moment, in which Ctrl-C is heard already

environment.run(context, load_metadata)
