"""lamella and its peers on the same work, in turn, on one fresh file system: medians, ratios, peak memory."""
