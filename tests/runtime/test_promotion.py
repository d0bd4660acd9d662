"""`migrate promote` against ECR, SSM and the real function: what is proven, tagged, recorded, and what is refused."""

import hashlib
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import boto3
import pytest

from support import emulator
from support.endpoint import CREDENTIALS, Endpoint, serve
from support.postgres import Database
from support.project import Project

REPOSITORY = "aurora-migrations"
PROFILES = "".join(f'[env.{name}]\nfunction = "function"\nregion = "us-east-1"\n' for name in ("dev", "prod"))
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
NEXT = (
    "Deploy it with `npx aws-cdk@2 deploy AuroraMigrationsRunnerStack-{0}`, start the state machine "
    "`aurora-migrations-{0}`, and when that has succeeded `npx aws-cdk@2 deploy MicroAgenteDisparoStack-{0}`."
)


def manifest(content: str, media_type: str = DOCKER) -> str:
    """Return a manifest as `docker push` writes it, indented, so that only its very bytes have its digest."""
    layer = {"size": 7, "digest": f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"}
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "config": layer, "layers": [layer]}, indent=3)


def digest_of(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True)
class Account:
    """A registry and its parameters, as an account of one's own has them."""

    ecr: Any
    ssm: Any
    environ: dict[str, str]

    def push(self, text: str, tag: str, digest: str | None = None) -> str:
        """Push an image, and return its digest."""
        digest = digest or digest_of(text)
        self.ecr.put_image(repositoryName=REPOSITORY, imageManifest=text, imageTag=tag, imageDigest=digest)
        return digest

    def record(self, environment: str, digest: str) -> None:
        self.ssm.put_parameter(Name=parameter(environment), Value=digest, Type="String")

    def images(self) -> dict[str, list[str]]:
        """Return the tags of each image by its digest."""
        found = self.ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
        return {one["imageDigest"]: sorted(one["imageTags"]) for one in found}

    def parameters(self) -> dict[str, tuple[str, int]]:
        """Return the value and the version of each parameter by its environment."""
        found = self.ssm.get_parameters_by_path(Path="/aurora-migrations", Recursive=True)["Parameters"]
        assert {one["Type"] for one in found} <= {"String"}
        return {one["Name"].split("/")[2]: (one["Value"], one["Version"]) for one in found}


def parameter(environment: str) -> str:
    return f"/aurora-migrations/{environment}/image-digest"


@pytest.fixture
def account(aws: dict[str, str]) -> Iterator[Account]:
    clients = [
        boto3.client(
            service,
            endpoint_url=aws["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        for service in ("ecr", "ssm")
    ]
    made = Account(*clients, aws)
    made.ecr.create_repository(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
    yield made
    made.ecr.delete_repository(repositoryName=REPOSITORY, force=True)
    for environment in made.parameters():
        made.ssm.delete_parameter(Name=parameter(environment))
    for client in clients:
        client.close()


@pytest.fixture(autouse=True)
def _profiles(project: Project) -> None:
    (project.folder / "migrate.toml").write_text(PROFILES)


@dataclass(frozen=True)
class Dev:
    """An image in the registry, recorded for dev, and dev's database and function."""

    account: Account
    project: Project
    database: Database
    task: Path
    digest: str

    def upgrade(self, target: str = "head", digest: str | None = None) -> dict[str, Any]:
        return self.run({"action": "upgrade", "target": target}, digest)

    def run(self, event: dict[str, str], digest: str | None = None) -> dict[str, Any]:
        """Have dev's database changed by an image, this one by default."""
        return self.project.ask(self.database.url, event, IMAGE_DIGEST=digest or self.digest)

    def promote(self, *words: str, **environ: str) -> "CompletedProcess[str]":
        """Promote what dev runs to prod, with dev's function behind the invocation."""
        with emulator.start(self.task, {"DATABASE_URL": self.database.url}) as function:
            known = {**self.account.environ, "AWS_ENDPOINT_URL_LAMBDA": function.url, **environ}
            return self.project.run("migrate", "promote", "--from", "dev", "--to", "prod", *words, **known)


@pytest.fixture
def dev(account: Account, project: Project, database: Database, task: Path) -> Dev:
    digest = account.push(manifest("one"), "git-1234567")
    account.record("dev", digest)
    return Dev(account, project, database, task, digest)


def promote(project: Project, account: Account, *words: str, **environ: str) -> "CompletedProcess[str]":
    return project.run("migrate", "promote", *words, **{**account.environ, **environ})


@contextmanager
def unchanged(account: Account) -> Iterator[None]:
    """Prove that what is done inside changes neither the registry nor a parameter."""
    before = account.images(), account.parameters()
    yield
    assert (account.images(), account.parameters()) == before


def test_the_very_image_that_ran_in_dev_comes_to_prod(dev: Dev) -> None:
    """By its digest: a tag more on the same image, and the parameter; every step is told, and nothing is done twice."""
    text, account = manifest("one"), dev.account
    with emulator.start(dev.task, {"DATABASE_URL": dev.database.url, "IMAGE_DIGEST": dev.digest}) as function:
        assert function.invoke({"action": "upgrade"})["status"] == "success"
        assert function.invoke({"action": "upgrade"})["applied"] == []
    done = dev.promote("--json")
    assert done.returncode == 0, done.stderr
    answer, short = json.loads(done.stdout), dev.digest[7:19]
    assert {name: value for name, value in answer.items() if name != "request_id"} == {
        "status": "success",
        "action": "promote",
        "message": f"`prod` will run `{dev.digest}` from its next deployment on. {NEXT.format('prod')}",
        "proven_in": "dev",
        "environment": "prod",
        "image_digest": dev.digest,
        "tag": f"prod-{short}",
        "parameter": parameter("prod"),
        "changed": ["tag", "parameter"],
        "hint": NEXT.format("prod"),
    }
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "WHEN", done.stderr).splitlines() == [
        f"`dev` is set to run `sha256:{short}…`.",
        "`dev` has proven the image: its last run there, `upgrade` of WHEN UTC, succeeded at `017_dry_run_log`, "
        "the image's head.",
        f"The manifest of `sha256:{short}…` has this digest and describes one image.",
        f"The tag `prod-{short}` was created.",
        "`/aurora-migrations/prod/image-digest` was written.",
    ]
    assert account.images() == {dev.digest: ["git-1234567", f"prod-{short}"]}
    assert account.parameters() == {"dev": (dev.digest, 1), "prod": (dev.digest, 1)}
    stored = account.ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": f"prod-{short}"}])
    assert [one["imageManifest"] for one in stored["images"]] == [text]
    with unchanged(account):
        again = dev.promote("--json")
    assert (again.returncode, json.loads(again.stdout)["changed"]) == (0, [])
    assert json.loads(again.stdout)["message"] == (
        f"`prod` is already set to run `{dev.digest}`; nothing was changed. {NEXT.format('prod')}"
    )
    assert again.stderr.splitlines()[-2:] == [
        f"The tag `prod-{short}` already existed.",
        "`/aurora-migrations/prod/image-digest` already held the digest.",
    ]


def test_data_to_stdout_and_words_to_stderr(dev: Dev) -> None:
    dev.upgrade()
    done = dev.promote()
    assert done.stdout == (
        "environment\timage\ttag\trecorded in\n"
        f"prod\t{dev.digest}\tprod-{dev.digest[7:19]}\t/aurora-migrations/prod/image-digest\n"
    )
    assert done.stderr.endswith(f"`prod` will run `{dev.digest}` from its next deployment on. {NEXT.format('prod')}\n")


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_the_first_environment_takes_an_image_by_its_name(project: Project, account: Account, by: str) -> None:
    """Nothing is below it that could prove anything; no function is asked."""
    account.push(manifest("other"), "git-0000000")
    digest = account.push(manifest("one", OCI), "git-1234567")
    words = ("--to", "dev", "--image", digest if by == "digest" else "git-1234567", "--json")
    done = promote(project, account, *words, AWS_ENDPOINT_URL_LAMBDA="http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["image_digest"], answer["changed"]) == (digest, ["tag", "parameter"])
    assert answer["hint"] == NEXT.format("dev")
    assert account.images()[digest] == [f"dev-{digest[7:19]}", "git-1234567"]
    assert len(account.images()) == 2
    assert account.parameters() == {"dev": (digest, 1)}
    with unchanged(account):
        assert json.loads(promote(project, account, *words).stdout)["changed"] == []


def test_a_newer_image_takes_the_older_ones_place(project: Project, account: Account) -> None:
    first, second = (account.push(manifest(name), f"git-{name}") for name in ("one", "two"))
    for digest in (first, second):
        assert promote(project, account, "--to", "dev", "--image", digest).returncode == 0
    assert account.parameters() == {"dev": (second, 2)}
    assert account.images()[first] == [f"dev-{first[7:19]}", "git-one"]


def _never(_: Dev) -> None:
    pass


def _other_image(dev: Dev) -> None:
    dev.upgrade(digest=f"sha256:{'b' * 64}")


def _failed_later(dev: Dev) -> None:
    dev.upgrade()
    bad = dev.project.add("018_bad", "op.execute('select 1/0')")
    assert dev.upgrade()["code"] == "revision-failed"
    bad.unlink()


def _not_at_head(dev: Dev) -> None:
    dev.upgrade("016")


def _reverted(dev: Dev) -> None:
    dev.upgrade()
    assert dev.run({"action": "downgrade", "target": "016"})["status"] == "success"


def _stamped(dev: Dev) -> None:
    dev.upgrade(digest=f"sha256:{'b' * 64}")
    dev.database.execute("delete from alembic_version")
    assert dev.run({"action": "stamp", "target": "017"})["status"] == "success"


def _before_heads_were_recorded(dev: Dev) -> None:
    dev.upgrade()
    dev.database.execute("update runner.migration_run set heads = null")


RUN = "its last run there, `{}` of WHEN UTC (request `ID`), {}"
STARTED = 'start the state machine `aurora-migrations-dev` (`{"action":"upgrade"}`), wait until it has succeeded'
DEPLOYED = f"Deploy it there, {STARTED}, then promote again."
LET = f"With that image deployed there, {STARTED}, then promote again."


@pytest.mark.parametrize(
    ("happened", "reason", "remedy"),
    [
        (
            _never,
            "the ledger there has no run of this image",
            DEPLOYED,
        ),
        (
            _other_image,
            "the ledger there has no run of this image",
            DEPLOYED,
        ),
        (_failed_later, RUN.format("upgrade", "is `error`"), LET),
        (
            _not_at_head,
            RUN.format("upgrade", "ended at `016_platform_baseline`, and the image's head is `017_dry_run_log`"),
            LET,
        ),
        (_reverted, RUN.format("downgrade", "was not an upgrade"), LET),
        (_stamped, RUN.format("stamp", "was not an upgrade"), LET),
        (
            _before_heads_were_recorded,
            RUN.format("upgrade", "ended at `017_dry_run_log`, and the image's head is `unknown`"),
            LET,
        ),
    ],
)
def test_what_is_no_proof(dev: Dev, happened: Callable[[Dev], None], reason: str, remedy: str) -> None:
    """Only an upgrade by that very image, its last run, that ended well at its head; nothing is changed otherwise."""
    happened(dev)
    with unchanged(dev.account):
        done = dev.promote("--json")
    answer = json.loads(done.stdout)
    told = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "WHEN", re.sub("request `[^`]+`", "request `ID`", answer["message"]))
    assert told == (
        f"image-not-proven: `{dev.digest[:19]}…` is not proven in `dev`: {reason}. Nothing was changed. {remedy}"
    )
    assert (done.returncode, answer["code"]) == (1, "image-not-proven")


def test_an_image_without_new_revisions_is_proven_by_an_upgrade_that_does_nothing(dev: Dev) -> None:
    dev.upgrade(digest=f"sha256:{'b' * 64}")
    assert dev.upgrade()["applied"] == []
    assert dev.promote().returncode == 0


def test_a_failure_that_was_mended_by_the_same_image_is_a_proof(dev: Dev) -> None:
    """The last run counts, as where a lock was not to be had the first time."""
    _failed_later(dev)
    dev.upgrade()
    assert dev.promote().returncode == 0


def test_nothing_is_recorded_for_the_lower_environment(project: Project, account: Account) -> None:
    """Or something that is no digest, which nobody but a promotion should have written."""
    for reason in ("does not exist", "holds no digest"):
        with unchanged(account):
            done = promote(project, account, "--from", "dev", "--to", "prod")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"image-not-proven: The image is not proven in `dev`: the parameter `{parameter('dev')}` {reason}. "
            "Nothing was changed. Promote an image to `dev` first: "
            "`migrate promote --to dev --image git-<sha>`.\n"
        )
        if reason == "does not exist":
            account.record("dev", "latest")


def test_a_ledger_that_cannot_be_read_proves_nothing(dev: Dev) -> None:
    """Where the function is not there, may not be invoked, or does not reach its database."""
    denied = Endpoint(403, json.dumps({"Message": "planted"}), {"x-amzn-ErrorType": "AccessDeniedException"})
    with serve(denied), unchanged(dev.account):
        done = promote(dev.project, dev.account, "--from", "dev", "--to", "prod", AWS_ENDPOINT_URL_LAMBDA=denied.url)
    assert done.stderr.splitlines()[-1] == (
        f"image-not-proven: `{dev.digest[:19]}…` is not proven in `dev`: its ledger could not be read "
        "(function-unreachable: `function` could not be invoked: the caller lacks `lambda:InvokeFunction`). "
        "Nothing was changed. Have the permission granted, or use another profile."
    )
    assert "planted" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--to", "prod", "--image", "git-1234567"),
            "image-refused: `git-1234567` was not promoted: `prod` is protected, and requires an image that is "
            "proven in the environment below. Nothing was changed. Promote it there first, then run "
            "`migrate promote --from NAME --to prod`.\n",
        ),
        (
            ("--to", "dev", "--from", "prod"),
            "image-refused: The image of `prod` was not promoted: `prod` is protected and `dev` is not, and an "
            "image is only promoted upwards. Nothing was changed. Name the image itself: "
            "`migrate promote --to dev --image sha256:…`.\n",
        ),
        (
            ("--to", "dev", "--image", "git-7654321"),
            "image-refused: `git-7654321` was not promoted: `aurora-migrations` has no such image. Nothing was "
            "changed. Push it there, or correct its name or the region, then repeat.\n",
        ),
        (
            ("--to", "staging", "--image", "git-1234567"),
            "settings: `migrate.toml` has no table `[env.staging]`; its environments are `dev`, `prod`. Nothing was "
            "changed. Use one of them, or add the table to the file.\n",
        ),
        (
            ("--to", "prod", "--from", "staging"),
            "settings: `migrate.toml` has no table `[env.staging]`; its environments are `dev`, `prod`. Nothing was "
            "changed. Use one of them, or add the table to the file.\n",
        ),
    ],
    ids=["into a protected one", "downwards", "no such image", "to an unknown one", "from an unknown one"],
)
def test_what_is_refused_before_anybody_is_asked_for_a_proof(dev: Dev, words: tuple[str, ...], message: str) -> None:
    with unchanged(dev.account):
        done = promote(dev.project, dev.account, *words)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


@pytest.mark.parametrize("name", ["staging", "eu-prod", "PRD"])
def test_an_environment_that_is_protected_by_another_name(project: Project, name: str) -> None:
    """By the end of it, or since the project lists it: refused before AWS is asked anything."""
    listed = f"[project]\nprotected = ['Staging']\n[env.{name}]\nfunction = 'function'\n"
    (project.folder / "migrate.toml").write_text(listed)
    done = project.run("migrate", "promote", "--to", name, "--image", "git-1234567")
    assert (done.returncode, f"`{name}` is protected, and requires an image" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("--to", "prod"),
        ("--to", "prod", "--from", "dev", "--image", "git-1234567"),
        ("--to", "dev", "--from", "dev"),
        ("--to", "dev", "--image", "sha256:abc"),
        ("--to", "dev", "--image", "a b"),
        ("--from", "dev"),
        ("--env", "dev", "--to", "prod", "--from", "dev"),
        ("--local", "--to", "prod", "--from", "dev"),
    ],
)
def test_usage(project: Project, words: tuple[str, ...]) -> None:
    done = project.run("migrate", "promote", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_a_manifest_that_is_not_what_its_digest_says(project: Project, account: Account) -> None:
    """The bytes are hashed here, whatever the registry calls them."""
    digest = f"sha256:{'a' * 64}"
    account.push(manifest("one"), "git-1234567", digest)
    with unchanged(account):
        done = promote(project, account, "--to", "dev", "--image", digest)
    assert done.stderr == (
        f"image-refused: `{digest[:19]}…` was not promoted: the manifest that `aurora-migrations` returned has the "
        f"SHA-256 `{digest_of(manifest('one'))[7:19]}…`, so it is not that image. Nothing was changed. "
        "Find out who changed it, and push the image again from a trusted build.\n"
    )


def test_a_registry_that_gives_another_manifest_on_the_way(project: Project, account: Account) -> None:
    """Altered by one byte in the answer itself; nothing is put back."""
    digest = account.push(manifest("one"), "git-1234567")
    image = {
        "imageId": {"imageDigest": digest},
        "imageManifest": manifest("one") + " ",
        "imageManifestMediaType": DOCKER,
    }
    altered = Endpoint(200, json.dumps({"images": [image], "failures": []}), operation="BatchGetImage")
    altered.behind = account.environ["AWS_ENDPOINT_URL"]
    with serve(altered), unchanged(account):
        done = promote(project, account, "--to", "dev", "--image", "git-1234567", AWS_ENDPOINT_URL_ECR=altered.url)
    assert done.returncode == 1
    assert "so it is not that image. Nothing was changed." in done.stderr


@pytest.mark.parametrize("said", [True, False], ids=["with its type", "without"])
def test_an_index_is_refused(project: Project, account: Account, said: bool) -> None:
    """Lambda takes a single image; what `docker buildx` pushes with attestations is a list of two."""
    kind = "application/vnd.oci.image.index.v1+json"
    listed = {
        "schemaVersion": 2,
        **({"mediaType": kind} if said else {}),
        "manifests": [{"digest": f"sha256:{'a' * 64}"}],
    }
    text = json.dumps(listed)
    account.ecr.put_image(
        repositoryName=REPOSITORY, imageManifest=text, imageTag="git-1234567", imageDigest=digest_of(text),
        imageManifestMediaType=kind,
    )  # fmt: skip
    with unchanged(account):
        done = promote(project, account, "--to", "dev", "--image", "git-1234567")
    assert done.stderr == (
        f"image-refused: `{digest_of(text)[:19]}…` was not promoted: its manifest is `{kind}`, and Lambda accepts "
        "only that of a single image. Nothing was changed. Build it for one platform and without attestations "
        "(`make image`), and push it under a new tag.\n"
    )


def test_the_tag_is_there_already(project: Project, account: Account) -> None:
    """On the same image it is what a promotion that was cut off has left."""
    digest = account.push(manifest("one"), "git-1234567")
    account.push(manifest("one"), f"dev-{digest[7:19]}")
    done = promote(project, account, "--to", "dev", "--image", digest, "--json")
    assert json.loads(done.stdout)["changed"] == ["parameter"]
    assert account.parameters() == {"dev": (digest, 1)}


def test_the_tag_is_on_another_image(project: Project, account: Account) -> None:
    """A tag is never moved, not even in a registry that lets it move."""
    account.ecr.put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="MUTABLE")
    digest, other = account.push(manifest("one"), "git-1234567"), digest_of(manifest("two"))
    account.push(manifest("two"), f"dev-{digest[7:19]}")
    with unchanged(account):
        done = promote(project, account, "--to", "dev", "--image", digest)
    assert done.stderr.splitlines()[-1] == (
        f"image-refused: `{digest[:19]}…` was not promoted: the tag `dev-{digest[7:19]}` belongs to another image, "
        f"`{other[:19]}…`, and a tag is never moved. Nothing was changed. Find out who set the tag and delete it, "
        "then repeat."
    )


DENIED = json.dumps({"__type": "AccessDeniedException", "message": "User: arn:aws:iam::1:user/planted may not"})


@pytest.mark.parametrize(
    ("service", "operation", "told", "done"),
    [
        ("ecr", "BatchGetImage", "Reading `git-1234567` from `aurora-migrations`", "Nothing was changed."),
        ("ecr", "PutImage", "Creating the tag `dev-{short}`", "Nothing was changed."),
        ("ssm", "GetParameter", "Reading `/aurora-migrations/dev/image-digest`", "Nothing was changed."),
        (
            "ssm",
            "PutParameter",
            "Writing `/aurora-migrations/dev/image-digest`",
            "The tag `dev-{short}` exists, and `dev` keeps its former image.",
        ),
    ],
)
def test_what_the_caller_may_not(
    project: Project, account: Account, service: str, operation: str, told: str, done: str
) -> None:
    """The permission is named, and what is done already; once it is granted the same command goes on from there."""
    digest = account.push(manifest("one"), "git-1234567")
    words, short = ("--to", "dev", "--image", "git-1234567", "--json"), digest[7:19]
    denied = Endpoint(400, DENIED, operation=operation, behind=account.environ["AWS_ENDPOINT_URL"])
    with serve(denied):
        refused = promote(project, account, *words, **{f"AWS_ENDPOINT_URL_{service.upper()}": denied.url})
    answer = json.loads(refused.stdout)
    assert answer["message"] == (
        f"aws-refused: {told} failed: the caller lacks `{service}:{operation}`. {done} "
        "Have the permission granted, or use another profile."
    ).format(short=short)
    assert (refused.returncode, answer["code"], len(denied.asked)) == (1, "aws-refused", 1)
    assert "planted" not in refused.stdout + refused.stderr
    assert account.parameters() == {}
    again = json.loads(promote(project, account, *words).stdout)
    assert again["changed"] == (["parameter"] if operation == "PutParameter" else ["tag", "parameter"])
    assert account.images() == {digest: [f"dev-{short}", "git-1234567"]}


def test_an_answer_that_never_comes(project: Project, account: Account) -> None:
    """After a 5xx, and after Ctrl-C, it is not known whether the parameter was written, and that is said."""
    account.push(manifest("one"), "git-1234567")
    words = ("--to", "dev", "--image", "git-1234567")
    broken = Endpoint(500, "{}", operation="PutParameter", behind=account.environ["AWS_ENDPOINT_URL"])
    with serve(broken):
        failed = promote(project, account, *words, AWS_ENDPOINT_URL_SSM=broken.url)
    assert (failed.returncode, len(broken.asked)) == (1, 1)
    assert failed.stderr.splitlines()[-1] == (
        "aws-refused: Writing `/aurora-migrations/dev/image-digest` failed: AWS ended without an answer (500). It is "
        "not known whether `/aurora-migrations/dev/image-digest` was written. Run the same command again, which keeps "
        "what is already done."
    )
    silent = Endpoint(None, operation="PutParameter", behind=account.environ["AWS_ENDPOINT_URL"])
    assert _interrupted(project, silent, *words, **account.environ, AWS_ENDPOINT_URL_SSM="{url}") == (
        "interrupted: The promotion was interrupted. It is not known whether `/aurora-migrations/dev/image-digest` was "
        "written. Run the same command again to continue."
    )


def test_ctrl_c_while_the_ledger_is_asked_for(dev: Dev) -> None:
    words, silent = ("--from", "dev", "--to", "prod"), Endpoint(None)
    with unchanged(dev.account):
        told = _interrupted(dev.project, silent, *words, **dev.account.environ, AWS_ENDPOINT_URL_LAMBDA="{url}")
    assert told == (
        "interrupted: The promotion was interrupted. Nothing was changed. Run the same command again to continue."
    )


def _interrupted(project: Project, silent: Endpoint, *words: str, **environ: str) -> str:
    """Promote against an endpoint that never answers, press Ctrl-C once it was asked, and return the last line."""
    with serve(silent):
        known = {name: value.format(url=silent.url) for name, value in environ.items()}
        process = project.start("migrate", "promote", *words, url="", **known)
        ends = time.monotonic() + 30
        while not silent.asked and time.monotonic() < ends:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    return errors.splitlines()[-1]


def test_no_repository_no_region_no_credentials(project: Project, aws: dict[str, str]) -> None:
    words = ("--to", "dev", "--image", "git-1234567")
    done = project.run("migrate", "promote", *words, **aws)
    assert done.stderr == (
        "aws-refused: Reading `git-1234567` from `aurora-migrations` failed: there is no such repository in this "
        "account and region. Nothing was changed. Deploy `AuroraMigrationsRegistryStack`, or correct `region` in "
        "`migrate.toml`, then repeat.\n"
    )
    (project.folder / "migrate.toml").write_text('[env.dev]\nfunction = "function"\n')
    nowhere = {name: value for name, value in CREDENTIALS.items() if name != "AWS_DEFAULT_REGION"}
    done = project.run("migrate", "promote", *words, **nowhere)
    assert done.stderr == (
        "aws-refused: Connecting to ECR failed: no AWS region is set. Nothing was changed. "
        "Set `region` in `migrate.toml`, "
        "or `AWS_REGION`, then repeat.\n"
    )
    (project.folder / "migrate.toml").write_text('[env.dev]\nfunction = "function"\nprofile = "nobody"\n')
    done = project.run("migrate", "promote", *words, **CREDENTIALS)
    assert done.stderr == (
        "aws-refused: Connecting to ECR failed: `~/.aws/config` has no such profile. Nothing was changed. "
        "Correct `profile` "
        "in `migrate.toml`, or `AWS_PROFILE`, then repeat.\n"
    )
