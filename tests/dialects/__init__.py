"""The dialects, held against recorded traffic and by tables."""
