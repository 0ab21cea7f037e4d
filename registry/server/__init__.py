"""The registry: an RSGI application on granian, blobs behind `storage`, all else behind `metadata`."""
