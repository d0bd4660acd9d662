"""AWS as a moto server over HTTP, and what is asked of it directly."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer
from sqlalchemy import make_url

from support.endpoint import CREDENTIALS
from support.postgres import Database


@contextmanager
def serve() -> Iterator[dict[str, str]]:
    """Serve on a port of this machine and yield the environment that leads there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    finally:
        server.stop()


@contextmanager
def log_group(environ: dict[str, str], function: str) -> Iterator[None]:
    """Keep a function's log group, with nothing in it.

    A call of more than a second is followed in the logs, and where there is no group that is told: with one a call
    says the same however long it takes.
    """
    client = _client("logs", environ)
    client.create_log_group(logGroupName=f"/aws/lambda/{function}")
    try:
        yield
    finally:
        client.delete_log_group(logGroupName=f"/aws/lambda/{function}")
        client.close()


def secrets_manager(environ: dict[str, str]) -> "boto3.session.Session.client":
    return _client("secretsmanager", environ)


def secret_of(database: Database) -> dict[str, object]:
    """Return what a whole secret holds, the password and the address."""
    url = make_url(database.url)
    return {
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
        "username": url.username,
        "password": url.password,
    }


def _client(service: str, environ: dict[str, str]) -> "boto3.session.Session.client":
    return boto3.client(
        service,
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
