"""Generated stubs of modelmill's gRPC contract; see protos/generate."""
