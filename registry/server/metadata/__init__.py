"""What the registry knows: which repository has which blobs, manifests and tags. The only truth for names."""
