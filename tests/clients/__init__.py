"""Real clients drive the real gateway."""
