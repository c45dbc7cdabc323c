"""The GHL client: the catalogue of calls, and everything between us and GHL."""
