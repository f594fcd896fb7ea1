#!lua flags=allow-oom
-- Deletes an experiment with all that belongs to it. It may run when memory is used up: it frees.
-- KEYS: experiments, their versions, holders of flags, outbox, number of changes of experiments,
-- these changes; the experiment's decisions, its looks, its gates.
-- ARGV: experiment's key, its version, token of this commit, number of changes to keep.
-- Returns {'done'}, or with nothing changed {'version', the stored one}: 0 if there is none.
local key, token = ARGV[1], ARGV[3]
local version = tonumber(redis.call('HGET', KEYS[2], key) or '0')
if version == 0 or version ~= tonumber(ARGV[2]) then
  return is_repeated(KEYS[6], token) and {'done'} or {'version', version}
end
redis.call('HDEL', KEYS[1], key)
redis.call('HDEL', KEYS[2], key)
local holders = redis.call('HGETALL', KEYS[3])
for at = 2, #holders, 2 do
  if holders[at] == key then
    redis.call('HDEL', KEYS[3], holders[at - 1])
  end
end
for _, message in ipairs(redis.call('XRANGE', KEYS[4], '-', '+')) do
  if message[2][2] == key then
    redis.call('XDEL', KEYS[4], message[1])
  end
end
redis.call('UNLINK', KEYS[7], KEYS[8], KEYS[9])
tell(KEYS[5], KEYS[6], key, token, ARGV[4])
return {'done'}
