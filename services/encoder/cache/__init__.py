"""The rank-once cache: an image's rows in ranked order, read back as a prefix of each tile."""
