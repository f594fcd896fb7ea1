#!lua flags=no-writes
-- Returns what a shard's stream holds: the store's time (ms since 1970), the number of entries, the
-- id of the oldest entry that is not folded ('' if all are), and the progress as field, value, ….
-- KEYS: stream, progress.
local time = redis.call('TIME')
local progress = redis.call('HGETALL', KEYS[2])
local folded = redis.call('HGET', KEYS[2], 'offset/fold') or '0-0'
local oldest = redis.call('XRANGE', KEYS[1], '(' .. folded, '+', 'COUNT', 1)[1]
return {
  tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000),
  redis.call('XLEN', KEYS[1]),
  oldest and oldest[1] or '',
  progress,
}
