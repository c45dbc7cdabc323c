"""The HTTP API: other systems ask for captures, follow them and read snapshots."""
