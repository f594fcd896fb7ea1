"""Domain values ↔ messages, where the SDK's `tidegate.wire` does not reach: batches and reports."""
