"""From a Dockerfile and a context to an image: parse, plan, look up, run, seal, name."""
