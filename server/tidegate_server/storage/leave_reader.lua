#!lua flags=allow-oom
-- Forgets a reader of a stream, and releases what it alone was not done with.
-- KEYS: stream, progress. ARGV: reader.
redis.call('HDEL', KEYS[2], 'offset/' .. ARGV[1], 'read/' .. ARGV[1])
release(KEYS[1], KEYS[2])
