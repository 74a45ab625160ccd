"""A zone that is a Kubernetes cluster, or a part of one: its inventory and its runtime."""
