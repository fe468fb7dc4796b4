"""The dialect of chat completions, which most providers have."""
