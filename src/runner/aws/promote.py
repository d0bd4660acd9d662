"""The promotion of an image to an environment: it is tagged and recorded, never built or pushed again.

Everything is read before the first of the two writes, and nothing is written that is there already, so that the same
command resumes a promotion that was interrupted.
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
# Lambda runs no image for several platforms: https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
SINGLE = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
# ECR converts a manifest that is read by its tag and is of another type than these.
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-manifest-formats.html
STORED = (
    *SINGLE,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
NOTHING = "Nothing was changed."
# A deployment alone is not enough: the state machine moves the alias `live` to the new image after its upgrade.
START = 'start the state machine `aurora-migrations-{}` (`{{"action":"upgrade"}}`), wait until it has succeeded'
DEPLOY = (
    "Deploy it with `npx aws-cdk@2 deploy AuroraMigrationsRunnerStack-{0}`, start the state machine "
    "`aurora-migrations-{0}`, and when that has succeeded `npx aws-cdk@2 deploy MicroAgenteDisparoStack-{0}`."
)


@dataclass(frozen=True)
class Image:
    """An image in ECR."""

    digest: str
    manifest: str = field(repr=False)
    media_type: str | None

    @property
    def name(self) -> str:
        """Return the image's name for a sentence."""
        return _name(self.digest)


def from_below(
    environ: Mapping[str, str], below: str, to: str, timeout_s: float | None, tell: Tell, draft: Draft
) -> None:
    """Promote to `to` the image that `below` is set to run, which the ledger of `below` must have proven.

    Raises `ImageNotProven`, `ImageRefused`, `AwsRefused`, `StoppedPromoting`, or `InvalidSettings` of `migrate.toml`.
    """
    source, target = environments.read(environ, below), environments.read(environ, to)
    own = settings.project_of(environ)
    if own.protects(below) and not own.protects(to):
        raise ImageRefused(
            f"The image of `{below}`",
            f"`{below}` is protected and `{to}` is not, and an image is only promoted upwards",
            f"Name the image itself: `migrate promote --to {to} --image sha256:…`.",
        )
    digest = _digest_of(source, below)
    tell(f"`{below}` is set to run {_name(digest)}.", event="done", number=1)
    _prove(source, below, digest, timeout_s, tell)
    draft.result = PromoteResult(proven_in=below)
    _promote(target, to, {"imageDigest": digest}, tell, draft, below)


def from_registry(environ: Mapping[str, str], image: str, to: str, tell: Tell, draft: Draft) -> None:
    """Promote the image with this tag or digest to `to`, which must not be protected.

    Raises the errors of `from_below`.
    """
    target = environments.read(environ, to)
    if settings.project_of(environ).protects(to):
        raise ImageRefused(
            f"`{image}`",
            f"`{to}` is protected, and requires an image that is proven in the environment below",
            f"Promote it there first, then run `migrate promote --from NAME --to {to}`.",
        )
    image_id = {"imageDigest" if DIGEST.fullmatch(image) else "imageTag": image}
    _promote(target, to, image_id, tell, draft, None)


def _digest_of(source: Environment, below: str) -> str:
    """Return the digest that an environment is set to run. Raises `ImageNotProven` where there is none."""
    digest = _recorded(_open(source, "ssm"), below)
    if digest is not None and DIGEST.fullmatch(digest):
        return digest
    raise ImageNotProven(
        "The image",
        below,
        f"the parameter `{PARAMETER.format(below)}` {'does not exist' if digest is None else 'holds no digest'}",
        f"Promote an image to `{below}` first: `migrate promote --to {below} --image git-<sha>`.",
    )


def _prove(source: Environment, below: str, digest: str, timeout_s: float | None, tell: Tell) -> None:
    """Raise `ImageNotProven` unless the image's last run there is a successful upgrade to the image's head."""
    # a reading verb has no progress to report
    answer = read(invoke.ask(source, {"action": "history", "limit": 1}, timeout_s, lambda *_, **__: None))
    if (failure := answer.failure) is not None:
        if failure.code == Interrupted.code:
            raise StoppedPromoting(NOTHING)
        reason = f"its ledger could not be read ({failure.code}: {failure.error.rstrip('.')})"
        raise ImageNotProven(_name(digest), below, reason, failure.hint)
    if not isinstance(answer.result, HistoryResult):
        reason = "its ledger could not be read (its function is of another version than this command)"
        raise ImageNotProven(_name(digest), below, reason, "Use the command of that version, or upgrade the function.")
    last = next((run for run in answer.result.images if run.image_digest == digest), None)
    if last is None:
        remedy = f"Deploy it there, {START.format(below)}, then promote again."
        raise ImageNotProven(_name(digest), below, "the ledger there has no run of this image", remedy)
    run = f"its last run there, `{last.action}` of {str(last.started_at)[:16].replace('T', ' ')} UTC"
    doubt = _doubt(last)
    if doubt:
        remedy = f"With that image deployed there, {START.format(below)}, then promote again."
        raise ImageNotProven(_name(digest), below, f"{run} (request `{last.request_id}`), {doubt}", remedy)
    tell(f"`{below}` has proven the image: {run}, succeeded at `{last.to}`, the image's head.", event="done", number=2)


def _doubt(last: ImageRun) -> str | None:
    """Return why a run proves nothing, None where it is a proof."""
    if last.status != "success":
        return f"is `{last.status}`"
    if last.direction != "upgrade":
        return "was not an upgrade"
    heads = last.heads or ()
    if sorted((last.to or "").split(",")) != sorted(heads):
        return f"ended at `{last.to or 'base'}`, and the image's head is `{','.join(heads) or 'unknown'}`"
    return None


def _promote(
    target: Environment, to: str, image_id: dict[str, str], tell: Tell, draft: Draft, proven_in: str | None
) -> None:
    """Verify the image, tag it and record its digest, unless these are there already."""
    registry, parameters = _open(target, "ecr"), _open(target, "ssm")
    image = _fetch(registry, image_id)
    _verify(image)
    tell(f"The manifest of {image.name} has this digest and describes one image.", event="done", number=3)
    tag, parameter = f"{to}-{image.digest[7:19]}", PARAMETER.format(to)
    tagged = _is_tagged(registry, image, tag)
    recorded = _recorded(parameters, to) == image.digest
    # the tag first: an image without one expires, and the parameter must not name such an image
    if not tagged:
        _tag(registry, image, tag)
    tell(f"The tag `{tag}` {'already existed' if tagged else 'was created'}.", event="done", number=4)
    if not recorded:
        _record(parameters, to, image.digest, f"The tag `{tag}` exists, and `{to}` keeps its former image.")
    tell(f"`{parameter}` {'already held the digest' if recorded else 'was written'}.", event="done", number=5)
    changed = [name for name, was in (("tag", tagged), ("parameter", recorded)) if not was]
    said = "will run {} from its next deployment on" if changed else "is already set to run {}; nothing was changed"
    hint = DEPLOY.format(to)
    result = PromoteResult(proven_in, to, image.digest, tag, parameter, tuple(changed), hint)
    draft.conclude(f"`{to}` {said.format(f'`{image.digest}`')}. {hint}", result)


def _fetch(registry: Any, image_id: dict[str, str]) -> Image:
    """Return the image, read by its digest since only such a manifest is never converted. Raises `ImageRefused`."""
    found = _find(registry, image_id)
    if found and "imageTag" in image_id:
        found = _find(registry, {"imageDigest": found.digest})
    if found is None:
        name = next(iter(image_id.values()))
        remedy = "Push it there, or correct its name or the region, then repeat."
        raise ImageRefused(f"`{name}`", f"`{REPOSITORY}` has no such image", remedy)
    return found


def _find(registry: Any, image_id: dict[str, str]) -> Image | None:
    name = next(iter(image_id.values()))
    response = _call(
        registry.batch_get_image, "ecr:BatchGetImage", f"Reading `{name}` from `{REPOSITORY}`",
        repositoryName=REPOSITORY, imageIds=[image_id], acceptedMediaTypes=[*STORED],
    )  # fmt: skip
    if not response["images"]:
        return None
    image = response["images"][0]
    digest = image_id.get("imageDigest", image["imageId"]["imageDigest"])
    return Image(digest, image["imageManifest"], image.get("imageManifestMediaType"))


def _verify(image: Image) -> None:
    """Raise `ImageRefused` unless the manifest has the digest and describes a single image."""
    found = hashlib.sha256(image.manifest.encode()).hexdigest()
    if image.digest != f"sha256:{found}":
        raise ImageRefused(
            image.name,
            f"the manifest that `{REPOSITORY}` returned has the SHA-256 `{found[:12]}…`, so it is not that image",
            "Find out who changed it, and push the image again from a trusted build.",
        )
    content = json.loads(image.manifest)
    kind = content.get("mediaType", image.media_type)
    if kind not in SINGLE or "manifests" in content:
        raise ImageRefused(
            image.name,
            f"its manifest is `{kind}`, and Lambda accepts only that of a single image",
            "Build it for one platform and without attestations (`make image`), and push it under a new tag.",
        )


def _is_tagged(registry: Any, image: Image, tag: str) -> bool:
    """Return whether the image has the tag. Raises `ImageRefused` where another image has it."""
    found = _find(registry, {"imageTag": tag})
    if found is None or found.digest == image.digest:
        return found is not None
    raise ImageRefused(
        image.name,
        f"the tag `{tag}` belongs to another image, {found.name}, and a tag is never moved",
        "Find out who set the tag and delete it, then repeat.",
    )


def _tag(registry: Any, image: Image, tag: str) -> None:
    given = {"imageManifestMediaType": image.media_type} if image.media_type else {}
    _call(
        registry.put_image, "ecr:PutImage", f"Creating the tag `{tag}`",
        unsure=f"It is not known whether the tag `{tag}` was created.",
        repositoryName=REPOSITORY, imageManifest=image.manifest, imageDigest=image.digest, imageTag=tag, **given,
    )  # fmt: skip


def _record(parameters: Any, to: str, digest: str, done: str) -> None:
    name = PARAMETER.format(to)
    _call(
        parameters.put_parameter, "ssm:PutParameter", f"Writing `{name}`",
        done=done, unsure=f"It is not known whether `{name}` was written.",
        Name=name, Value=digest, Type="String", Overwrite=True,
    )  # fmt: skip


def _recorded(parameters: Any, environment: str) -> str | None:
    """Return the value of the environment's parameter, None where it does not exist."""
    name = PARAMETER.format(environment)
    value = _call(_value, "ssm:GetParameter", f"Reading `{name}`", parameters=parameters, name=name)
    return None if value is None else str(value)


def _value(parameters: Any, name: str) -> Any:
    try:
        return parameters.get_parameter(Name=name)["Parameter"]["Value"]
    except parameters.exceptions.ParameterNotFound:
        return None


def _open(environment: Environment, service: str) -> Any:
    asked = f"Connecting to {service.upper()}"
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
    """Send a request once and return its response.

    Raises `AwsRefused`: with `done` where AWS refused it, with `unsure` where AWS may have executed it.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    def explain(error: Exception) -> AwsRefused:
        refusal = client_errors.of(error, permission)
        reason = f"AWS {refusal.reason}" if refusal.sent else refusal.reason
        remedy = refusal.remedy or "Run the same command again, which keeps what is already done."
        return AwsRefused(asked, reason, unsure if refusal.sent else done, remedy)

    stopped = translating(KeyboardInterrupt, lambda _: StoppedPromoting(unsure))
    with stopped, translating((BotoCoreError, ClientError), explain):
        return request(**fields)


def _name(digest: str) -> str:
    return f"`{digest[:19]}…`"
