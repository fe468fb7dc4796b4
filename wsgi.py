"""The WSGI entry point: ``gunicorn -c gunicorn.conf.py wsgi:app``.

gevent patches the standard library first: a TLS context made before the patch
recurses without end on its first use.
"""

from gevent import monkey

monkey.patch_all()

from app import create_app

app = create_app()
