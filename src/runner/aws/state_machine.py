"""The state machine of a protected environment, which people start there instead of invoking the function."""

import os
import shlex
from collections.abc import Sequence

from runner import next_step, policy
from runner.aws.environments import Environment
from runner.next_step import Door, NextStep

NAME = "aurora-migrations-{}"


def door(environment: Environment, options: Sequence[str]) -> Door:
    """Return the words of a command line with `options`; what changes a protected environment starts the machine."""
    command = next_step.command_line(options, remote=True)
    if environment.protected is None:
        return command

    def write(step: NextStep) -> str | None:
        return start(environment, step) if step.action in policy.CHANGING else command.write(step)

    return Door(write, command.options)


def start(environment: Environment, step: NextStep) -> str:
    """Return the command that starts the state machine of a protected environment, for bash."""
    parts = environment.function.split(":")
    profile = f" --profile {shlex.quote(environment.aws_profile)}" if environment.aws_profile else ""
    known = environment.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    region = known or f"$(aws{profile} configure get region)"
    # only a full ARN of the function names the account
    partition, account = "aws", f"$(aws{profile} sts get-caller-identity --query Account --output text)"
    if parts[0] == "arn" and len(parts) > 4:
        partition, account = parts[1], parts[4]
    name = NAME.format(environment.protected)
    machine = f"arn:{partition}:states:{region}:{account}:stateMachine:{name}"
    # double quotes, in which the shell runs what stands in `$(…)`
    quoted = f'"{machine}"' if "$" in machine else shlex.quote(machine)
    place = f' --region "{region}"' if "$" in region else f" --region {shlex.quote(region)}"
    given = shlex.quote(next_step.as_input(step))
    return f"aws{profile} stepfunctions start-execution{place} --state-machine-arn {quoted} --input {given}"
