"""Images come alive: spec, bundle, OCI runtime, containers and their life cycle."""
