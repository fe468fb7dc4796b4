"""Embeddings, speech and transcription."""
