"""The vocabulary between two dialects: requests, responses, events, media."""
