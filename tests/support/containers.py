"""The image in a container with Lambda's restrictions: read-only except for `/tmp`, and an ordinary user."""

import os
import subprocess
from collections.abc import Mapping

IMAGE = os.environ.get("TEST_IMAGE")
"""The image that `make image-test` has built; without it the tests that need an image are skipped."""
CONFINED = ["--rm", "--init", "--network=host", "--read-only", "--tmpfs=/tmp", "--user=993:990"]


def command(environ: Mapping[str, str], words: list[str], options: list[str]) -> list[str]:
    """Return the command that runs `words` in the image; `environ` is passed through the client's environment."""
    names = [f"--env={name}" for name in environ]
    return ["docker", "run", *CONFINED, *names, *options, str(IMAGE), *words]


def run(*words: str, options: list[str] | None = None, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run `words` as `docker run IMAGE …` does, and return the completed process."""
    return subprocess.run(
        command(environ, list(words), options or []),
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def python(code: str, *options: str) -> str:
    """Run Python in the image and return its output."""
    done = run("-c", code, options=["--entrypoint=python3", *options])
    assert done.returncode == 0, done.stderr
    return done.stdout
