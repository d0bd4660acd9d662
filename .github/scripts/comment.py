"""Write a file as the one comment of its kind on a pull request: the same comment is changed each time."""

import argparse
import itertools
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MARK = "<!-- migrate plan -->"
BOT = "github-actions[bot]"
LONGEST = 65_536
"""The number of characters that GitHub accepts in one comment."""
PAGE = 100


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--pull-request", type=int, required=True, metavar="NUMBER")
    given = parser.parse_args()
    body = f"{MARK}\n{given.file.read_text('utf-8')}"[:LONGEST]
    try:
        print(write(os.environ, given.pull_request, body))
    except urllib.error.HTTPError as error:
        with error:
            print(f"GitHub refused: {error.code} {error.reason}. Nothing was written.", file=sys.stderr)
        return 1
    return 0


def write(environ: Mapping[str, str], number: int, body: str) -> str:
    """Change our comment on the pull request, or create it, and return its address."""
    issues = f"{environ['GITHUB_API_URL']}/repos/{environ['GITHUB_REPOSITORY']}/issues"
    token = environ["GITHUB_TOKEN"]
    # anybody can write the mark, so it counts only in the bot's comments
    ours = (one for one in comments(issues, number, token) if one["user"]["login"] == BOT)
    earlier = next((one for one in ours if one["body"].startswith(MARK)), None)
    if earlier:
        made = ask("PATCH", f"{issues}/comments/{earlier['id']}", token, {"body": body})
    else:
        made = ask("POST", f"{issues}/{number}/comments", token, {"body": body})
    return str(made["html_url"])


def comments(issues: str, number: int, token: str) -> Iterator[dict[str, Any]]:
    """Yield the comments on a pull request, oldest first."""
    for page in itertools.count(1):
        found: list[dict[str, Any]] = ask("GET", f"{issues}/{number}/comments?per_page={PAGE}&page={page}", token)
        yield from found
        if len(found) < PAGE:
            return


def ask(method: str, url: str, token: str, content: object = None) -> Any:
    """Make one request to GitHub's REST API. https://docs.github.com/en/rest/issues/comments"""
    headers = {"Accept": "application/vnd.github+json", "Authorization": f"Bearer {token}"}
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the runner's own API address
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - the runner's own API address
        return json.load(response)


if __name__ == "__main__":
    sys.exit(main())
