"""Which image each environment is to run: what promotion recorded, read when the app is synthesised.

A Lambda version is published only when the template changes, and `@sha256:` is rendered only from a literal, so
the digest has to be known by then; a parameter of CloudFormation would be too late.
"""

import re
from collections.abc import Iterable
from typing import Any

from infra import names

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidDigest(Exception):
    """Say which parameter does not hold a digest."""


def read(environments: Iterable[str], region: str) -> dict[str, str]:
    """Return the digests that are recorded, by environment; an environment that has never had one is left out.

    Raises `InvalidDigest`, and botocore's errors where SSM gives no answer.
    """
    import boto3

    parameters = {names.digest_parameter(environment): environment for environment in environments}
    ssm = boto3.client("ssm", region_name=region)
    found: dict[str, str] = {}
    for name, environment in parameters.items():
        value = _value(ssm, name)
        if value is not None:
            found[environment] = checked(name, value)
    return found


def checked(where: str, value: str) -> str:
    """Return `value` where it is a digest. Raises `InvalidDigest`."""
    if DIGEST.fullmatch(value):
        return value
    raise InvalidDigest(
        f"invalid-digest: `{where}` holds no image digest. Nothing was synthesised. "
        "Record one: `migrate promote` writes `sha256:` and 64 hexadecimal digits."
    )


def _value(ssm: Any, name: str) -> str | None:
    try:
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return None
