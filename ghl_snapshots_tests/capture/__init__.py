"""Tests of ghl_snapshots.capture."""
