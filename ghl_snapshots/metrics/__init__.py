"""The product's Prometheus metrics: totals read from the tables, and their text."""
