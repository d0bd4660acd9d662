"""The entry point of the command line: `migrate`, or `python -m runner`."""

from runner import signals


def main() -> None:
    """Run the command line."""
    # first of all: the imports below take most of a second
    signals.exit_at_once()
    from runner import interpreter
    from runner.output import pipes

    pipes.tolerate()
    interpreter.tune()
    # only now, so that these imports run without garbage collections
    from runner import cli

    try:
        cli.app(prog_name="migrate")
    finally:
        signals.ignore()


if __name__ == "__main__":
    main()
