"""Tests of ghl_snapshots.metrics."""
