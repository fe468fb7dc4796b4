"""The server under the application: gunicorn's worker as this house needs it."""
