"""Bring an image to an environment: proven below, tagged and recorded, never built or pushed again.

All is read before the first of the two writes, and what is as it should be is not written again, so that a promotion
which was stopped is gone on with by the same command.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner import settings
from runner.answer import Draft
from runner.aws import client_errors, environments, invoke
from runner.aws.environments import Environment
from runner.errors import (
    AwsRefused,
    FunctionUnreachable,
    ImageNotProven,
    ImageRefused,
    Interrupted,
    StoppedPromoting,
    translating,
)
from runner.invocation import Tell
from runner.results import HistoryResult, ImageRun, PromoteResult, read

REPOSITORY = "aurora-migrations"
PARAMETER = "/aurora-migrations/{}/image-digest"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
SINGLE = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
# An image that is asked for by a tag is converted where its own type is not among those that are accepted.
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-manifest-formats.html
STORED = (
    *SINGLE,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
NOTHING = "Nothing was changed."
# `live` runs a new image only when the state machine has moved it there.
START = 'start the state machine `aurora-migrations-{}` (`{{"action":"upgrade"}}`), wait until it has succeeded'
DEPLOY = (
    "Deploy it with `npx aws-cdk@2 deploy AuroraMigrationsRunnerStack-{0}`, start the state machine "
    "`aurora-migrations-{0}`, and when that has succeeded `npx aws-cdk@2 deploy MicroAgenteDisparoStack-{0}`."
)


@dataclass(frozen=True)
class Image:
    """Hold what ECR has of one image."""

    digest: str
    manifest: str = field(repr=False)
    media_type: str | None

    @property
    def name(self) -> str:
        """Name it in a sentence."""
        return _name(self.digest)


def from_below(
    environ: Mapping[str, str], below: str, to: str, timeout_s: float | None, tell: Tell, draft: Draft
) -> None:
    """Bring to `to` the very image that `below` runs, once the ledger there has proven it.

    Raises `ImageNotProven`, `ImageRefused`, `AwsRefused`, or `InvalidSettings` for an unknown environment.
    """
    source, target = environments.read(environ, below), environments.read(environ, to)
    if settings.is_protected(below) and not settings.is_protected(to):
        raise ImageRefused(
            f"What `{below}` runs",
            f"`{below}` is protected and `{to}` is not, and a promotion leads up",
            f"Name the image itself: `migrate promote --to {to} --image sha256:…`.",
        )
    digest = _digest_of(source, below)
    tell(f"`{below}` is to run {_name(digest)}.", event="done", number=1)
    _prove(source, below, digest, timeout_s, tell)
    draft.result = PromoteResult(proven_in=below)
    _bring(target, to, {"imageDigest": digest}, tell, draft, below)


def from_registry(environ: Mapping[str, str], image: str, to: str, tell: Tell, draft: Draft) -> None:
    """Bring to `to`, an environment with none below it, the image with this tag or digest.

    Raises as `from_below`, and `ImageRefused` where `to` is protected.
    """
    target = environments.read(environ, to)
    if settings.is_protected(to):
        raise ImageRefused(
            f"`{image}`",
            f"`{to}` is protected, so an image comes to it from the environment below, which has proven it",
            f"Bring it there first, then run `migrate promote --from NAME --to {to}`.",
        )
    wanted = {"imageDigest" if DIGEST.fullmatch(image) else "imageTag": image}
    _bring(target, to, wanted, tell, draft, None)


def _digest_of(source: Environment, below: str) -> str:
    """Return the digest that an environment is to run."""
    digest = _recorded(_open(source, "ssm"), below)
    if digest is not None and DIGEST.fullmatch(digest):
        return digest
    raise ImageNotProven(
        "What it is to run",
        below,
        f"the parameter `{PARAMETER.format(below)}` {'is not there' if digest is None else 'holds no digest'}",
        f"Bring an image to `{below}` first, which writes it: `migrate promote --to {below} --image git-<sha>`.",
    )


def _prove(source: Environment, below: str, digest: str, timeout_s: float | None, tell: Tell) -> None:
    """Raise `ImageNotProven` unless the image's last run there is an upgrade that ended well at the image's head."""
    # the log of a question has no progress to show
    told = read(invoke.ask(source, {"action": "history", "limit": 1}, timeout_s, lambda *_, **__: None))
    if told.failure is not None:
        if told.failure.code == Interrupted.code:
            raise StoppedPromoting(NOTHING)
        reason = f"its ledger could not be read ({told.failure.code}: {told.failure.error.rstrip('.')})"
        raise ImageNotProven(_name(digest), below, reason, told.failure.hint)
    images = told.result.images if isinstance(told.result, HistoryResult) else ()
    last = next((one for one in images if one.image_digest == digest), None)
    if last is None:
        remedy = f"Deploy it there, {START.format(below)}, then promote again."
        raise ImageNotProven(_name(digest), below, "the ledger there has no run of it", remedy)
    run = f"its last run there, `{last.action}` of {str(last.started_at)[:16].replace('T', ' ')} UTC"
    doubt = _doubt(last)
    if doubt:
        remedy = f"With that image deployed there, {START.format(below)}, then promote again."
        raise ImageNotProven(_name(digest), below, f"{run} (request `{last.request_id}`), {doubt}", remedy)
    tell(f"`{below}` has proven it: {run}, ended well at `{last.to}`, its head.", event="done", number=2)


def _doubt(last: ImageRun) -> str | None:
    """Say what keeps a run from being a proof."""
    if last.status != "success":
        return f"is `{last.status}`"
    if last.direction != "upgrade":
        return "was no upgrade"
    heads = last.heads or ()
    if sorted((last.to or "").split(",")) != sorted(heads):
        return f"ended at `{last.to or 'base'}`, and the image's head is `{','.join(heads) or 'not known'}`"
    return None


def _bring(
    target: Environment, to: str, wanted: dict[str, str], tell: Tell, draft: Draft, proven_in: str | None
) -> None:
    """Verify the image, tag it and record its digest; what is so already is left as it is."""
    registry, parameters = _open(target, "ecr"), _open(target, "ssm")
    image = _fetch(registry, wanted)
    _verify(image)
    tell(f"The manifest of {image.name} is that of one image, and has this digest.", event="done", number=3)
    tag, parameter = f"{to}-{image.digest[7:19]}", PARAMETER.format(to)
    tagged = _is_tagged(registry, image, tag)
    recorded = _recorded(parameters, to) == image.digest
    if not tagged:
        _tag(registry, image, tag)
    tell(f"The tag `{tag}` {'was there already' if tagged else 'is made'}.", event="done", number=4)
    if not recorded:
        _record(parameters, to, image.digest, f"The tag `{tag}` is there, and `{to}` is to run what it ran before.")
    tell(f"`{parameter}` {'said so already' if recorded else 'is written'}.", event="done", number=5)
    changed = [name for name, was in (("tag", tagged), ("parameter", recorded)) if not was]
    said = "from its next deployment on" if changed else "already; nothing was changed"
    hint = DEPLOY.format(to)
    result = PromoteResult(proven_in, to, image.digest, tag, parameter, tuple(changed), hint)
    draft.conclude(f"`{to}` is to run `{image.digest}` {said}. {hint}", result)


def _fetch(registry: Any, wanted: dict[str, str]) -> Image:
    """Return the image by its digest; a tag is looked up first. Raises `ImageRefused` where there is none."""
    found = _find(registry, wanted)
    if found and "imageTag" in wanted:
        found = _find(registry, {"imageDigest": found.digest})
    if found is None:
        name = next(iter(wanted.values()))
        remedy = "Push it there, or correct its name or the region, then repeat."
        raise ImageRefused(f"`{name}`", f"`{REPOSITORY}` has no such image", remedy)
    return found


def _find(registry: Any, wanted: dict[str, str]) -> Image | None:
    name = next(iter(wanted.values()))
    answered = _call(
        registry.batch_get_image, "ecr:BatchGetImage", f"Reading `{name}` from `{REPOSITORY}`",
        repositoryName=REPOSITORY, imageIds=[wanted], acceptedMediaTypes=[*STORED],
    )  # fmt: skip
    if not answered["images"]:
        return None
    one = answered["images"][0]
    digest = wanted.get("imageDigest", one["imageId"]["imageDigest"])
    return Image(digest, one["imageManifest"], one.get("imageManifestMediaType"))


def _verify(image: Image) -> None:
    """Raise `ImageRefused` unless the manifest is what the digest says, and that of one image."""
    found = hashlib.sha256(image.manifest.encode()).hexdigest()
    if image.digest != f"sha256:{found}":
        raise ImageRefused(
            image.name,
            f"the manifest that `{REPOSITORY}` gave has the SHA-256 `{found[:12]}…`, so it is not that image",
            "Find out who changed it; push the image anew from a build that is trusted.",
        )
    content = json.loads(image.manifest)
    kind = content.get("mediaType", image.media_type)
    if kind not in SINGLE or "manifests" in content:
        raise ImageRefused(
            image.name,
            f"its manifest is `{kind}`, and Lambda takes that of a single image only",
            "Build it for one platform and without attestations (`make image`), and push that under a new tag.",
        )


def _is_tagged(registry: Any, image: Image, tag: str) -> bool:
    """Tell whether the image has the tag. Raises `ImageRefused` where another one has it."""
    found = _find(registry, {"imageTag": tag})
    if found is None or found.digest == image.digest:
        return found is not None
    raise ImageRefused(
        image.name,
        f"the tag `{tag}` is on another image, {found.name}, and a tag is never moved",
        "Find out who set it; delete that tag, then repeat.",
    )


def _tag(registry: Any, image: Image, tag: str) -> None:
    given = {"imageManifestMediaType": image.media_type} if image.media_type else {}
    _call(
        registry.put_image, "ecr:PutImage", f"Making the tag `{tag}`",
        unsure=f"Whether the tag `{tag}` was made is not known.",
        repositoryName=REPOSITORY, imageManifest=image.manifest, imageDigest=image.digest, imageTag=tag, **given,
    )  # fmt: skip


def _record(parameters: Any, to: str, digest: str, done: str) -> None:
    name = PARAMETER.format(to)
    _call(
        parameters.put_parameter, "ssm:PutParameter", f"Writing `{name}`",
        done=done, unsure=f"Whether `{name}` was written is not known.",
        Name=name, Value=digest, Type="String", Overwrite=True,
    )  # fmt: skip


def _recorded(parameters: Any, environment: str) -> str | None:
    """Return what the environment's parameter holds, None where there is none."""
    name = PARAMETER.format(environment)
    value = _call(_value, "ssm:GetParameter", f"Reading `{name}`", parameters=parameters, name=name)
    return None if value is None else str(value)


def _value(parameters: Any, name: str) -> Any:
    try:
        return parameters.get_parameter(Name=name)["Parameter"]["Value"]
    except parameters.exceptions.ParameterNotFound:
        return None


def _open(environment: Environment, service: str) -> Any:
    asked = f"Opening {service.upper()}"
    with translating(FunctionUnreachable, lambda error: AwsRefused(asked, error.reason, NOTHING, error.remedy)):
        session = invoke.open_session(environment)
    return _call(invoke.open_client, "", asked, session=session, service=service)


def _call(
    request: Callable[..., Any],
    permission: str,
    asked: str,
    *,
    done: str = NOTHING,
    unsure: str = NOTHING,
    **fields: Any,
) -> Any:
    """Return the answer to one request, which is made once.

    Raises `AwsRefused`: with `done` where it was refused, with `unsure` where it may have gone through.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    def explain(error: Exception) -> AwsRefused:
        refusal = client_errors.of(error, permission)
        reason = f"AWS {refusal.reason}" if refusal.sent else refusal.reason
        remedy = refusal.remedy or "Repeat it: what is done already is found and kept."
        return AwsRefused(asked, reason, unsure if refusal.sent else done, remedy)

    stopped = translating(KeyboardInterrupt, lambda _: StoppedPromoting(unsure))
    with stopped, translating((BotoCoreError, ClientError), explain):
        return request(**fields)


def _name(digest: str) -> str:
    return f"`{digest[:19]}…`"
