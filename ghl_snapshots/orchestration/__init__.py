"""The Dagster shell over the domain."""
