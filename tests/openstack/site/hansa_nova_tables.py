"""Makes Nova's tables and its two cells: what four calls of nova-manage do, without starting Nova four times.

``hansa_nova_tables.py CONFIG CELL0_DATABASE CELL_DATABASE TRANSPORT_URL``. Runs in OpenStack's own Python.
"""

import sys

from nova import config, objects
from nova.cmd import manage

file, cell0, cell, transport = sys.argv[1:]
config.parse_args(["nova-manage", "--config-file", file])
objects.register_all()
cells = manage.CellV2Commands()
for failed in (
    manage.ApiDbCommands().sync(),
    cells.map_cell0(database_connection=cell0),
    cells.create_cell(name="cell1", database_connection=cell, transport_url=transport),
    manage.DbCommands().sync(),
):
    if failed:
        sys.exit(int(failed))
