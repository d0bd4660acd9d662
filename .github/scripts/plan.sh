#!/usr/bin/env bash
# Plan the revisions of a pull request for a database at the head of its base branch.
#
#   plan.sh FILE [BASE]    DATABASE_URL names an empty scratch database; BASE is HEAD^1, the base of a merge commit
#
# FILE receives the plan as Markdown. The exit code is that of `migrate plan`: 4 where it has errors.
set -euo pipefail
file=$1
base=$(git rev-parse --verify "${2:-HEAD^1}^{commit}")
folder=$(mktemp -d)
trap 'git worktree remove --force "$folder/base"; rmdir "$folder"' EXIT
git worktree add --quiet --detach "$folder/base" "$base"
# the base's revisions run with the base's code, as they did wherever they are applied
PYTHONPATH="$folder/base/src" ALEMBIC_CONFIG="$folder/base/alembic.ini" migrate upgrade
migrate plan --markdown >"$file"
