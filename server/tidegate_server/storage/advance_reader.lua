#!lua flags=allow-oom
-- Moves a reader of a stream on, if it still is where it started, and releases what all are done
-- with. It may run when memory is used up, because it frees entries.
-- KEYS: stream, progress. ARGV: reader, offset before, offset after, bytes between them.
-- Returns 1; 0 if the reader is elsewhere, or not known.
if redis.call('HGET', KEYS[2], 'offset/' .. ARGV[1]) ~= ARGV[2] then
  return 0
end
advance(KEYS[1], KEYS[2], ARGV[1], ARGV[3], ARGV[4])
return 1
