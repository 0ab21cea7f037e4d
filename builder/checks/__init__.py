"""Build checks: what a Dockerfile may do but should not, found without building anything (docs/checks)."""
