"""Event batches: bytes ↔ checked columns. Flags are the SDK's `tidegate.wire`'s.

    batch ── series     the small messages, by the generated classes
      └───── fields ──── unit_ids
                └─────── protobuf     the encoding itself

Only what is small is read by generated classes: the columns stay where they are, as views.
"""

from tidegate_server.wire.batch import Batch, decode, decode_batch, encode_kept
from tidegate_server.wire.protobuf import embedded

__all__ = ["Batch", "decode", "decode_batch", "embedded", "encode_kept"]
