"""The program `ghl-snapshots`, also `python -m ghl_snapshots`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback even while it is still being imported."""
    try:
        from ghl_snapshots import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
