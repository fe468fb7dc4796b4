"""Text completions: OpenAI's first wire, and what stands for it elsewhere."""
