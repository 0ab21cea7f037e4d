"""The OCI distribution protocol, both sides of it."""
