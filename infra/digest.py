"""The recorded images of each environment, by promotion and by approval, read when the app is synthesised.

A Lambda version is published only when the template changes, and `@sha256:` is rendered only from a literal, so
the synthesis must read the digest; a parameter of CloudFormation would be too late.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infra import names

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidDigest(Exception):
    """An error about a parameter that does not hold a digest."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The digests of one environment: `promoted` is the runner's, `approved` the agent's, None before the first.

    The agent's image may need the upgraded schema, so its digest is recorded only after the upgrade.
    """

    promoted: str
    approved: str | None


def read(environments: Iterable[str], region: str) -> dict[str, Recorded]:
    """Return the recorded digests by environment, without those that have no promoted image.

    Raises `InvalidDigest`, and botocore's errors when SSM does not answer.
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
