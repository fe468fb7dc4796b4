"""The types between dialects: requests, responses, stream events, media."""
