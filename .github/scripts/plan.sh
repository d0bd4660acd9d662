#!/usr/bin/env bash
# What the revisions of a pull request would do to a database at the head of the branch that it goes into.
#
#   plan.sh FILE [BASE]    DATABASE_URL names an empty, throw-away database; BASE is HEAD^1, as a merge commit has it
#
# The plan goes to FILE as Markdown. The exit code is that of `migrate plan`: 4 where it has errors.
set -euo pipefail
file=$1
base=$(git rev-parse --verify "${2:-HEAD^1}^{commit}")
folder=$(mktemp -d)
trap 'git worktree remove --force "$folder/base"; rmdir "$folder"' EXIT
git worktree add --quiet --detach "$folder/base" "$base"
# with the code that made the base's revisions, as it ran wherever they are applied
PYTHONPATH="$folder/base/src" ALEMBIC_CONFIG="$folder/base/alembic.ini" migrate upgrade
migrate plan --markdown >"$file"
