"""The mission's pages: each test module quotes one page and holds the running server to it."""
