"""The rules of flags, splits and events: pure, (state, change) in, state out."""
