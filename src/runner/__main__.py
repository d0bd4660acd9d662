"""Where the command line starts: `migrate`, or `python -m runner`."""

from runner import interpreter


def main() -> None:
    """Run the command line."""
    interpreter.spare()
    # not before: its imports are what the collector is spared
    from runner import cli

    cli.app(prog_name="migrate")


if __name__ == "__main__":
    main()
