"""`migrate new`: the next revision, and the two heads that it would make."""

import subprocess
from pathlib import Path

import pytest

from support.postgres import Database
from support.project import Project


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, "-C", folder, *arguments], check=True, capture_output=True)


def test_new_makes_the_next_number(project: Project, database: Database) -> None:
    """The file's name is the revision's id; it follows the head, and runs once it is written."""
    done = project.run("migrate", "new", "add score")
    assert (done.returncode, done.stdout) == (0, "alembic/versions/018_add_score.py\n")
    text = (project.folder / "alembic" / "versions" / "018_add_score.py").read_text()
    assert text.startswith('"""add score"""\n')
    assert 'revision = "018_add_score"\ndown_revision = "017_dry_run_log"\n' in text.replace("'", '"')
    assert project.run("migrate", "new", "Índice por e-mail!").stdout == "alembic/versions/019_indice_por_e_mail.py\n"
    newest = project.folder / "alembic" / "versions" / "019_indice_por_e_mail.py"
    newest.write_text(newest.read_text().replace("    pass", "    op.execute('select 1')", 1))
    assert project.ask(database.url, {"action": "upgrade"})["to"] == "019_indice_por_e_mail"


def test_a_long_message_is_cut_at_a_word(project: Project) -> None:
    """`alembic_version.version_num` holds 32 characters."""
    done = project.run("migrate", "new", "add a score that says how interested somebody is")
    assert done.stdout == "alembic/versions/018_add_a_score_that_says_how.py\n"
    one_word = project.run("migrate", "new", "x" * 40)
    assert one_word.stdout == f"alembic/versions/019_{'x' * 28}.py\n"


@pytest.mark.parametrize("message", ["", "!!!"])
def test_a_message_without_words(project: Project, message: str) -> None:
    done = project.run("migrate", "new", message)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "invalid-payload: The message has no letter or digit, so it cannot name a revision. Nothing was changed. "
        "Describe the change in the message.\n"
    )


def test_new_on_a_stale_branch(project: Project, tmp_path: Path) -> None:
    """The branch to merge into has a revision that is not here: a second one after 017 would make two heads."""
    upstream, clone = tmp_path / "upstream", tmp_path / "clone"
    upstream.mkdir()
    there = Project.copy(upstream)
    git(upstream, "init")
    git(upstream, "add", "-A")
    git(upstream, "commit", "-m", "base")
    git(tmp_path, "clone", "upstream", "clone")
    git(clone, "checkout", "-b", "feature")
    assert Project(clone).run("migrate", "new", "fresh").returncode == 0
    (clone / "alembic" / "versions" / "018_fresh.py").unlink()
    there.add("018_add_source", "pass")
    git(upstream, "add", "-A")
    git(upstream, "commit", "-m", "source")
    git(clone, "fetch")
    done = Project(clone).run("migrate", "new", "add score")
    assert done.returncode == 1
    assert done.stderr == (
        "multiple-heads: `origin/main` has `018_add_source`, which this branch lacks: a new revision after "
        "`017_dry_run_log` would make two heads. Nothing was changed. Bring the branch up to date "
        "(`git merge origin/main`), then run `migrate new` again.\n"
    )
    assert not list((clone / "alembic" / "versions").glob("018*"))
    git(clone, "merge", "origin/main")
    assert Project(clone).run("migrate", "new", "add score").stdout == "alembic/versions/019_add_score.py\n"
