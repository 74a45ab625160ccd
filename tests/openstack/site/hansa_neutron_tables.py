"""Makes Neutron's tables from its models, because its migrations are for MySQL alone. Runs in OpenStack's Python."""

import sys

import sqlalchemy
from neutron.db.migration.models import head

head.get_metadata().create_all(sqlalchemy.create_engine(sys.argv[1]))
