"""The only place where Alembic meets a connection: hand its context over."""

from logging.config import fileConfig

from alembic import context

from runner import environment


def load_metadata():
    from models import Base

    return Base.metadata


# Only Alembic's own command line brings `cmd_opts`; the other doors have set up their logging. The
# application's loggers are kept: fileConfig would silence them by default.
if context.config.cmd_opts is not None and context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

environment.run(context, load_metadata)
