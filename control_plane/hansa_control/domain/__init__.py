"""The pure core: values and functions. No input or output, no clock, no randomness, no asyncio, no protobuf."""
