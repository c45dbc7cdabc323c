"""Tests of ghl_snapshots.cli."""
