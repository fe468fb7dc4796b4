"""The documentation is run: its commands and snippets, its addresses, its names."""
