"""Capturing a tenant: the engine, the lock that keeps two captures apart, and their composition."""
