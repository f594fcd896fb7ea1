#!lua flags=no-writes
-- Returns the changes above a revision, and what shows whether they continue it: the store's
-- revision, the token of the change at the given revision ('' if it is no longer kept), and up to
-- 100 entries of the stream.
-- KEYS: revision, changes. ARGV: the revision the reader has.
local at = ARGV[1] .. '-0'
local entry = redis.call('XRANGE', KEYS[2], at, at)[1]
return {
  tonumber(redis.call('GET', KEYS[1]) or '0'),
  entry and entry[2][2] or '',
  redis.call('XRANGE', KEYS[2], '(' .. at, '+', 'COUNT', 100),
}
