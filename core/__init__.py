"""What every other room stands on: errors, progress, durable files, safe paths, SQLite, locks, processes, namespaces."""
