"""AWS as a moto server over HTTP, and the tests' own calls to it."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer
from sqlalchemy import make_url

from support.endpoint import CREDENTIALS
from support.postgres import Database


@contextmanager
def serve() -> Iterator[dict[str, str]]:
    """Serve on a port of this machine and yield the environment for its clients."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    finally:
        server.stop()


@contextmanager
def log_group(environ: dict[str, str], function: str) -> Iterator[None]:
    """Create a function's empty log group for the duration of the block.

    `migrate` follows a call of more than a second in the logs, and reports a missing group: with a group its output
    does not depend on the duration.
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
    """Return the content of a complete secret, with password and address."""
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
