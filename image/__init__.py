"""The OCI specs' values, frozen and without any I/O: digests, descriptors, manifests, configs, references, platforms."""
