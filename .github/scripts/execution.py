"""Start the state machine that migrates, wait for its end, and print the result.

Exit codes: 0 the execution succeeded, 1 it failed or could not be started, 3 it is still running, for example while it
waits for an approval. It is named after the workflow's run, so that a repeated job finds it again.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

GOING_ON = ("RUNNING", "PENDING_REDRIVE")
LONGEST_ACTOR = 200
"""The number of characters that the ledger accepts."""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("machine", help="the state machine's name")
    parser.add_argument("--minutes", type=float, default=55, help="how long to wait for the end")
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks at it")
    given = parser.parse_args()
    try:
        states = boto3.client("stepfunctions")
        arn = start(states, machine_arn(given.machine, states.meta.region_name), os.environ)
        print(f"Started, or joined, `{arn}`.", file=sys.stderr)
        return report(wait(states, arn, time.monotonic() + given.minutes * 60, given.every))
    except (BotoCoreError, ClientError) as error:
        print(f"{error} What was started goes on: run the job again to join it.", file=sys.stderr)
        return 1


def machine_arn(name: str, region: str) -> str:
    """Return the ARN of a state machine of this account."""
    caller = boto3.client("sts").get_caller_identity()
    partition = caller["Arn"].split(":")[1]
    return f"arn:{partition}:states:{region}:{caller['Account']}:stateMachine:{name}"


def start(states: Any, machine: str, environ: Mapping[str, str]) -> str:
    """Start an upgrade to the head and return the execution's ARN; if this run's execution is active, return its ARN.

    Step Functions treats the same name and input as the same request until the execution has ended.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    run = environ["GITHUB_RUN_ID"]
    who = f"{environ['GITHUB_ACTOR']} {environ['GITHUB_SERVER_URL']}/{environ['GITHUB_REPOSITORY']}/actions/runs/{run}"
    asked = json.dumps({"action": "upgrade", "target": "head", "actor": who[:LONGEST_ACTOR]})
    for number in range(1, int(environ["GITHUB_RUN_ATTEMPT"]) + 1):
        with contextlib.suppress(states.exceptions.ExecutionAlreadyExists):
            begun = states.start_execution(stateMachineArn=machine, name=f"github-{run}-{number}", input=asked)
            return str(begun["executionArn"])
    raise SystemExit(f"Each attempt of run {run} has had its execution already. Start a new run.")


def wait(states: Any, arn: str, until: float, every_s: float) -> dict[str, Any]:
    """Return the description of the execution after its end, or at `until`, a moment of the monotonic clock."""
    while True:
        known: dict[str, Any] = states.describe_execution(executionArn=arn)
        if known["status"] not in GOING_ON or time.monotonic() >= until:
            return known
        time.sleep(every_s)


def report(known: Mapping[str, Any]) -> int:
    """Print the execution's result, or that it is still running, and return the exit code."""
    arn, status = known["executionArn"], known["status"]
    if status in GOING_ON:
        print(f"`{arn}` still runs, as where it waits for an approval, and goes on without this job.", file=sys.stderr)
        print("Run the job again to join it.", file=sys.stderr)
        return 3
    if status == "SUCCEEDED":
        print(json.dumps(json.loads(known["output"]), indent=2, ensure_ascii=False))
        print(f"`{arn}` succeeded.", file=sys.stderr)
        return 0
    print(f"`{arn}` ended as {status}: {known.get('error', 'no error is named')}.", file=sys.stderr)
    print(known.get("cause", "No cause is given: see its events in the console of Step Functions."), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
