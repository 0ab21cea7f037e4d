"""Where the registry's blobs live, finished and unfinished."""
