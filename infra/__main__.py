"""The program that `cdk` runs: it reads the context and the recorded digests, and writes the templates."""

import sys
from typing import TYPE_CHECKING

from infra import names, node

if TYPE_CHECKING:
    from aws_cdk import App


def main() -> int:
    """Synthesise the app; return 0, or 1 with the reason on stderr."""
    node.use_packaged()
    from aws_cdk import App

    app = App(analytics_reporting=False)
    problem = _fill(app)
    if problem is None:
        app.synth()
        return 0
    print(problem, file=sys.stderr)
    return 1


def _fill(app: "App") -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError

    from infra import digest, environments
    from infra.app import build

    try:
        context = environments.read(app.node.get_all_context())
        recorded = digest.read(context.environments, context.region)
    except (environments.InvalidContext, digest.InvalidDigest) as error:
        return str(error)
    except (BotoCoreError, ClientError) as error:
        return _unreachable(error)
    for environment in context.environments:
        if environment not in recorded:
            print(_not_promoted(environment), file=sys.stderr)
        elif recorded[environment].approved is None:
            print(_not_approved(environment), file=sys.stderr)
    build(app, context=context, recorded=recorded)
    return None


def _unreachable(error: Exception) -> str:
    reason = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
    return (
        f"digest-unreadable: Could not read from SSM which image each environment runs ({reason}). "
        "Nothing was synthesised. Check the credentials, the permission `ssm:GetParameter` on `/aurora-migrations/*`, "
        "the region and the network, then repeat."
    )


def _not_promoted(environment: str) -> str:
    source = "--from <the environment below>" if names.is_protected(environment) else "--image git-<sha>"
    return (
        f"no-image: `{names.digest_parameter(environment)}` is not set, so `{environment}` gets no function stacks. "
        f"Record its image: `migrate promote --to {environment} {source}`."
    )


def _not_approved(environment: str) -> str:
    return (
        f"no-approved-image: `{names.approved_parameter(environment)}` is not set, so `{environment}` gets no agent. "
        f"Deploy its other stacks, start the state machine `{names.migrations(environment)}`, and when that has "
        f"succeeded run `cdk deploy MicroAgenteDisparoStack-{environment}`."
    )


if __name__ == "__main__":
    sys.exit(main())
