"""nova-compute with the driver that lies beside this file. Runs in OpenStack's own Python.

Nova looks for drivers in `nova.virt` alone, so this folder becomes a part of that package for this process.
"""

import sys
from pathlib import Path

import nova.virt
from nova.cmd import compute

nova.virt.__path__.append(str(Path(__file__).resolve().parent))
sys.exit(compute.main())
