#!lua flags=allow-oom
-- Stores one step of an experiment, with the change of its flag's split and the decisions behind it:
-- all or nothing. It may run when memory is used up: a rollback must not wait for room.
-- KEYS: the four of `commit_change`; experiments, their versions, holders of flags, outbox, number
-- of changes of experiments, these changes, leader; the experiment's decisions, its looks.
-- ARGV: experiment's key, its version afterwards, token of this commit, fencing token or '', the
-- flag, 1 if it is held afterwards, the serialized experiment, numbers of changes and of looks to
-- keep, a look or '', its time (ms), number of decisions; for each of these its serialized form and
-- the indexes of the notifications that are to tell of it; then a change of configuration or nothing.
-- Returns {'done'}, or with nothing changed what stands against it: {'version', the stored one},
-- {'fence'}, {'held', by which}, {'revision', the stored one}.
local key, token, fence, flag, active = ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1'
local version = tonumber(redis.call('HGET', KEYS[6], key) or '0')
if version ~= tonumber(ARGV[2]) - 1 then
  return is_repeated(KEYS[10], token) and {'done'} or {'version', version}
end
if fence ~= '' and is_fenced_off(KEYS[11], fence) then
  return {'fence'}
end
local holder = redis.call('HGET', KEYS[7], flag)
if active and holder and holder ~= key then
  return {'held', holder}
end
local first, number = 13, tonumber(ARGV[12])
local change = {}
for at = first + 2 * number, #ARGV do
  change[#change + 1] = ARGV[at]
end
if #change > 0 then
  local stored, revision = commit_change(KEYS, change)
  if stored == 0 then
    return {'revision', revision}
  end
end
redis.call('HSET', KEYS[5], key, ARGV[7])
redis.call('HSET', KEYS[6], key, ARGV[2])
if active then
  redis.call('HSET', KEYS[7], flag, key)
elseif holder == key then
  redis.call('HDEL', KEYS[7], flag)
end
local logged = redis.call('XLEN', KEYS[12])
for index = 0, number - 1 do
  local decision = string.format('%d', logged + 1 + index)
  redis.call('XADD', KEYS[12], decision .. '-0', 'd', ARGV[first + 2 * index])
  for target in ARGV[first + 2 * index + 1]:gmatch('%d+') do
    redis.call('XADD', KEYS[8], '*', 'k', key, 'n', decision, 't', target)
  end
end
if ARGV[10] ~= '' then
  -- Times of looks rise, but a clock may be set back.
  local last = redis.call('XREVRANGE', KEYS[13], '+', '-', 'COUNT', 1)[1]
  local time = math.max(tonumber(ARGV[11]), last and tonumber(last[1]:match('^%d+')) or 0)
  local id = string.format('%.0f-*', time)
  redis.call('XADD', KEYS[13], 'MAXLEN', '~', ARGV[9], id, 'l', ARGV[10])
end
tell(KEYS[9], KEYS[10], key, token, ARGV[8])
return {'done'}
