"""Everything that touches the outside: gRPC, SQL, identity, clocks. The only place that knows protobuf."""
