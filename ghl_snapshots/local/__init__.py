"""What runs the whole product on one machine: the embedded PostgreSQL and its processes."""
