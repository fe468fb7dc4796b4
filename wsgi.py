"""The WSGI entry point: ``gunicorn -c gunicorn.conf.py wsgi:app``.

gevent patches the standard library first: a TLS context made before the patch
recurses without end on its first use. Once the settings hold the secrets, the
environment forgets them.
"""

from gevent import monkey

monkey.patch_all()

import gc
import os

gc.disable()  # while modules load nothing becomes garbage; what is loaded is taken out of its sight later

from app import create_app, master_key
from app.config_loading import load, scrub_environ

_settings = master_key.adopt(load(os.environ), os.environ)
app = create_app(_settings)
scrub_environ(os.environ, _settings)
gc.freeze()  # or the collector's first look would be at all that was loaded
gc.enable()
