"""Which images each environment is to run: what promotion and approval recorded, read when the app is synthesised.

A Lambda version is published only when the template changes, and `@sha256:` is rendered only from a literal, so
the digest has to be known by then; a parameter of CloudFormation would be too late.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infra import names

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidDigest(Exception):
    """Say which parameter does not hold a digest."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Hold the digests of one environment: `promoted` is the runner's, `approved` the agent's, None before the first.

    The agent waits for the approval since its image may need what only the upgrade makes.
    """

    promoted: str
    approved: str | None


def read(environments: Iterable[str], region: str) -> dict[str, Recorded]:
    """Return what is recorded, by environment; one that nothing was ever promoted to is left out.

    Raises `InvalidDigest`, and botocore's errors where SSM gives no answer.
    """
    import boto3

    ssm = boto3.client("ssm", region_name=region)
    found: dict[str, Recorded] = {}
    for environment in environments:
        promoted = _digest(ssm, names.digest_parameter(environment), "`migrate promote`")
        machine = f"the state machine `{names.migrations(environment)}`"
        approved = _digest(ssm, names.approved_parameter(environment), machine)
        if promoted is not None:
            found[environment] = Recorded(promoted=promoted, approved=approved)
    return found


def _digest(ssm: Any, name: str, writer: str) -> str | None:
    try:
        value = str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return None
    if DIGEST.fullmatch(value):
        return value
    raise InvalidDigest(
        f"invalid-digest: `{name}` holds no image digest. Nothing was synthesised. "
        f"Record one: {writer} writes `sha256:` and 64 hexadecimal digits."
    )
