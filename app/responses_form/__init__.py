"""The Responses object itself: its items, its events, what they fold to, and its errors.

Pure knowledge of one form, which the dialect that reads and writes it, the store that keeps
it and the gateway that leads its life share. Nothing here reads a request or knows a store.
Sources: OpenAI's published types (2.45, July 2026) and recorded traffic.
"""
