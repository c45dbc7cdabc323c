"""The program `ghl-snapshots`, also `python -m ghl_snapshots`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback even while it is still being imported."""
    try:
        from ghl_snapshots.cli.app import main as program
    except KeyboardInterrupt:
        sys.exit(130)
    program()


if __name__ == "__main__":
    main()
