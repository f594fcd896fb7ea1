"""Messages and stubs of the `tidegate.v1` API, generated from protos/ when the package is built."""
