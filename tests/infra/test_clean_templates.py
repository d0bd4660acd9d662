"""Two reviewers who never tire: cdk-nag and cfn-lint."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.synthesis import ROOT, Template

SUPPRESSED = {"AwsSolutions-IAM5", "AwsSolutions-RDS10"}


@pytest.mark.parametrize("fixture", ["cloud_assembly", "sample_assembly"])
def test_cdk_nag(
    request: pytest.FixtureRequest, existing: dict[str, Template], sample: dict[str, Template], fixture: str
) -> None:
    """cdk-nag finds nothing but what is acknowledged beside the construct, with its reason."""
    reports = json.loads((request.getfixturevalue(fixture) / "validation-report.json").read_text())["pluginReports"]
    assert all((report["conclusion"], report["violations"]) == ("success", []) for report in reports)
    (nag,) = (report for report in reports if report["pluginName"] == "AwsSolutions")
    found = nag["suppressedViolations"]
    assert {each["ruleName"].partition("[")[0] for each in found} <= SUPPRESSED
    assert found
    assert all(len(each["reason"]) > 40 for each in found)


def test_cdk_nag_stops_a_synthesis(tmp_path: Path) -> None:
    """What cdk-nag finds and nobody has acknowledged ends the synthesis."""
    from aws_cdk import App, Stack, Validations, aws_sns
    from cdk_nag import AwsSolutionsChecks

    app = App(outdir=str(tmp_path))
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    aws_sns.Topic(Stack(app, "Stack"), "Plain")
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()


def test_cfn_lint(
    existing: dict[str, Template], sample: dict[str, Template], cloud_assembly: Path, sample_assembly: Path
) -> None:
    """cfn-lint finds nothing, with the two exceptions that `.cfnlintrc` gives reasons for."""
    written = [str(path) for folder in (cloud_assembly, sample_assembly) for path in folder.glob("*.template.json")]
    assert len(written) == len(existing) + len(sample)
    command = [Path(sys.executable).with_name("cfn-lint"), *written]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
