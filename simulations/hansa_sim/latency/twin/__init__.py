"""A scenario as real processes in network namespaces: what was predicted beside what is measured."""
