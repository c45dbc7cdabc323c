"""The simulated GHL: a real HTTP server with accounts, limits and faults; it imports nothing else of ours."""
