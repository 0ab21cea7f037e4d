"""Bytes and facts: blobs by digest, and one catalog of images, tags, layers, cache records, holds and leases."""
