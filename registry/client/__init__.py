"""Pulling from and pushing to any registry."""
