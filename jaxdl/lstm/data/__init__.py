"""A user's series: from a file or arrays to regular rows without holes."""
