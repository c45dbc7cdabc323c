"""The system of record for GoHighLevel configuration."""
