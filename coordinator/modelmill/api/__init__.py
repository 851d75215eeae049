"""The gRPC servicers: protobuf in, protobuf out, nothing else."""
