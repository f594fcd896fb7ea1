#!lua flags=no-writes
-- Returns what an earlier configuration can be rebuilt from: the present revision, the present
-- resources as field, value, field, value …, and the changes above the earlier revision, latest
-- first.
-- KEYS: revision, resources, changes. ARGV: the earlier revision.
return {
  tonumber(redis.call('GET', KEYS[1]) or '0'),
  redis.call('HGETALL', KEYS[2]),
  redis.call('XREVRANGE', KEYS[3], '+', '(' .. ARGV[1] .. '-0'),
}
