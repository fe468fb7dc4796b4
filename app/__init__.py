"""Sluice: one LLM gateway, many doors."""

__version__ = "0.1.0"
