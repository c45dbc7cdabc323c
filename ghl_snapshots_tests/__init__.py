"""Tests of ghl_snapshots, on real parts."""
