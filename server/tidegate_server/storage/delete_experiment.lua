#!lua flags=allow-oom
-- Deletes an experiment with all that belongs to it. It may run when memory is used up: it frees.
-- KEYS: experiments, their versions, holders of flags, outbox, number of changes of experiments,
-- these changes; the experiment's decisions, its looks, its gates.
-- ARGV: experiment's key, its version, token of this commit, number of changes to keep.
-- Returns {'done'}, or with nothing changed {'version', the stored one}: 0 if there is none.
local experiments, versions, holders, outbox, count, changes = unpack(KEYS, 1, 6)
local key, version, token, kept = unpack(ARGV)
local stored = tonumber(redis.call('HGET', versions, key) or '0')
if stored == 0 or stored ~= tonumber(version) then
  return is_repeated(changes, token) and {'done'} or {'version', stored}
end
redis.call('HDEL', experiments, key)
redis.call('HDEL', versions, key)
local held = redis.call('HGETALL', holders)
for at = 2, #held, 2 do
  if held[at] == key then
    redis.call('HDEL', holders, held[at - 1])
  end
end
for _, message in ipairs(redis.call('XRANGE', outbox, '-', '+')) do
  if message[2][2] == key then
    redis.call('XDEL', outbox, message[1])
  end
end
redis.call('UNLINK', KEYS[7], KEYS[8], KEYS[9])
tell(count, changes, key, token, kept)
return {'done'}
