"""The embedded PostgreSQL server of a local environment."""
