"""The tar codec of layers: pack a directory to a stream, apply a hostile stream to a directory, compress on the way."""
