"""Event batches: bytes ↔ checked columns; and `experiments`. Flags are the SDK's `tidegate.wire`'s.

    batch ── series     the small messages, by the generated classes
      └───── fields ──── unit_ids
                └─────── protobuf     the encoding itself

Only what is small is read by generated classes: the columns stay where they are, as views.
"""
