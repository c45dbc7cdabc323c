"""Tests of ghl."""
