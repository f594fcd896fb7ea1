#!lua flags=no-writes
-- Returns all replicas as of one moment: the store's time (ms since 1970), the id of the latest
-- change, and the hash as field, value, field, value …
-- KEYS: replicas, changes.
local latest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
return {now_ms(), latest and latest[1] or '0-0', redis.call('HGETALL', KEYS[1])}
