"""Files that providers keep: what each wire wants of an upload, and what it tells of a file."""
