"""Layers as directories, stacked and mounted: prepare, mount, seal, unpack."""
