"""The server under the application: gunicorn's worker as Sluice needs it."""
