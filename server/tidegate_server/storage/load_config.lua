#!lua flags=no-writes
-- Returns an environment's configuration as of one moment: its revision, its resources as
-- field, value, field, value …, and the token of the latest change ('' where there is none).
-- KEYS: revision, resources, changes.
local revision = redis.call('GET', KEYS[1]) or '0'
local latest = redis.call('XRANGE', KEYS[3], revision .. '-0', revision .. '-0')[1]
return {revision, redis.call('HGETALL', KEYS[2]), latest and latest[2][2] or ''}
