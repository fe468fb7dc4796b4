"""Chat completions, the wire that most providers speak."""
