"""Dialects of files that providers store, and of batches."""
