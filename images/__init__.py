"""What users do to images: name, list, inspect, remove, prune, check."""
