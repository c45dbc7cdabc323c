"""Tests of ghl_snapshots.core."""
