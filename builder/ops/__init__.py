"""What a step does to a file system: run, copy, make a directory. One file an operation."""
