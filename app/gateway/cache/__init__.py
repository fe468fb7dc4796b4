"""The cache: stored answers, returned for equal requests."""
