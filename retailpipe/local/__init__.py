"""The embedded PostgreSQL of an environment on this machine."""
