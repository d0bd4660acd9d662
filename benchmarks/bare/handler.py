"""A usual Lambda handler of a few lines around `alembic.command`."""

import io
import json
import os
from functools import cache
from typing import Any

import boto3
from alembic import command
from alembic.config import Config
from sqlalchemy import URL


@cache
def url() -> str:
    """Return the database's URL, from a secret that is read once."""
    answer = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["DB_SECRET_ARN"])
    secret = json.loads(answer["SecretString"])
    where = (secret["host"], secret["port"], secret["dbname"])
    made = URL.create("postgresql+psycopg2", secret["username"], secret["password"], *where)
    return made.render_as_string(hide_password=False)


def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """Run `current`, or upgrade."""
    output = io.StringIO()
    config = Config("alembic.ini", stdout=output)
    config.set_main_option("sqlalchemy.url", url().replace("%", "%%"))
    if event["action"] == "current":
        command.current(config)
    else:
        command.upgrade(config, event.get("target", "head"))
    return {"status": "success", "output": output.getvalue()}
