"""Serves one of OpenStack's APIs: ``hansa_wsgi.py HOST:PORT MODULE``. Runs in OpenStack's own Python.

Keystone reads the command line that it finds, and fails over a web server's; so nothing is left there for it.
"""

import importlib
import sys

from gunicorn.app.base import BaseApplication

address, module = sys.argv[1:]
del sys.argv[1:]


class Server(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", address)
        self.cfg.set("threads", 8)
        self.cfg.set("timeout", 120)
        self.cfg.set("graceful_timeout", 2)

    def load(self):
        return importlib.import_module(module).application


Server().run()
