"""gRPC servicers: messages in, use cases called, messages out."""
