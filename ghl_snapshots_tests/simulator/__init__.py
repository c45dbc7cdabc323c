"""Tests of the simulated GHL."""
