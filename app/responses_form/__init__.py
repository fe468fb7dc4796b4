"""The Responses object: its items, its stream events, how they fold to items, and its errors.

The dialect, the store and the gateway share this package; it is pure and depends on none of them.
Sources: OpenAI's published types (2.45, July 2026) and recorded traffic.
"""
