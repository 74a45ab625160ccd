"""Makes users, roles, services and endpoints in a fresh Keystone. Runs in OpenStack's own Python.

Called with one JSON object: auth (of the administrator), services ({name: [type, url]}), password, reader_role.
"""

import json
import sys

import openstack

told = json.loads(sys.argv[1])
cloud = openstack.connect(**told["auth"])
identity = cloud.identity
project = identity.create_project(name="service", domain_id="default")
roles = {role.name: role for role in identity.roles()}
for name in ("service", told["reader_role"]):
    if name not in roles:
        roles[name] = identity.create_role(name=name)
for name, (kind, url) in told["services"].items():
    user = identity.create_user(name=name, password=told["password"], domain_id="default")
    for role in ("admin", "service"):
        identity.assign_project_role_to_user(project, user, roles[role])
    service = identity.create_service(name=name, type=kind)
    for interface in ("public", "internal"):
        identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id="RegionOne")
edge = identity.create_project(name="edge", domain_id="default")
agent = identity.create_user(name="agent", password=told["password"], domain_id="default", default_project_id=edge.id)
for role in ("member", told["reader_role"]):
    identity.assign_project_role_to_user(edge, agent, roles[role])
