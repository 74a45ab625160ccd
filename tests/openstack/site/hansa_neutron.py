"""Neutron's API. Without its layer 3 plugins a mapper of a port is never configured, and the first look at a port
fails; so every model is loaded and configured first. Runs in OpenStack's own Python."""

from neutron.db.migration.models import head  # noqa: F401 - loads every model
from sqlalchemy import orm

orm.configure_mappers()

from neutron.wsgi.api import application  # noqa: E402, F401
