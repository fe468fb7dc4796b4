"""The golden matrix: each kind of request at each provider, as the HTTP request that goes out.

``python -m tests.golden --write`` makes the stored records anew; review them like code.
"""
