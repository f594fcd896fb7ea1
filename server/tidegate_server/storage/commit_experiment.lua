#!lua flags=allow-oom
-- Stores one step of an experiment, with the change of its flag's split and the decisions behind it:
-- all or nothing. It may run when memory is used up: a rollback must not wait for room.
-- KEYS: the four of `commit_change`; experiments, their versions, holders of flags, outbox, number
-- of changes of experiments, these changes, leader; the experiment's decisions, its looks.
-- ARGV: experiment's key, its version afterwards, token of this commit, fencing token or '', the
-- flag, 1 if it is held afterwards, the serialized experiment, the configuration's revision that it
-- was decided by or '', numbers of changes and of looks to keep, a look or '', its time (ms), number
-- of decisions; for each of these its serialized form and the indexes of the notifications that are
-- to tell of it; then a change of configuration or nothing.
-- Returns {'done'}, or with nothing changed what stands against it: {'version', the stored one},
-- {'fence'}, {'held', by which}, {'revision', the stored one}.
local experiments, versions, holders, outbox, count, changes, leader, decisions, looks =
  unpack(KEYS, 5)
local key, version, token, fence, flag, active, experiment, decided_by, kept_changes, kept_looks,
  look, look_time, number = unpack(ARGV, 1, 13)
local stored = tonumber(redis.call('HGET', versions, key) or '0')
if stored ~= tonumber(version) - 1 then
  return is_repeated(changes, token) and {'done'} or {'version', stored}
end
if fence ~= '' and is_fenced_off(leader, fence) then
  return {'fence'}
end
local holder = redis.call('HGET', holders, flag)
if active == '1' and holder and holder ~= key then
  return {'held', holder}
end
local revision = redis.call('GET', KEYS[1]) or '0'
if decided_by ~= '' and decided_by ~= revision then
  return {'revision', tonumber(revision)}
end
local first, number = 14, tonumber(number)
local change = {}
for at = first + 2 * number, #ARGV do
  change[#change + 1] = ARGV[at]
end
if #change > 0 and commit_change(KEYS, change) == 0 then
  return {'revision', tonumber(revision)}
end
redis.call('HSET', experiments, key, experiment)
redis.call('HSET', versions, key, version)
if active == '1' then
  redis.call('HSET', holders, flag, key)
elseif holder == key then
  redis.call('HDEL', holders, flag)
end
local logged = redis.call('XLEN', decisions)
for index = 0, number - 1 do
  local decision = string.format('%d', logged + 1 + index)
  redis.call('XADD', decisions, decision .. '-0', 'd', ARGV[first + 2 * index])
  for target in ARGV[first + 2 * index + 1]:gmatch('%d+') do
    redis.call('XADD', outbox, '*', 'k', key, 'n', decision, 't', target)
  end
end
if look ~= '' then
  -- Times of looks rise, but a clock may be set back.
  local last = redis.call('XREVRANGE', looks, '+', '-', 'COUNT', 1)[1]
  local time = math.max(tonumber(look_time), last and tonumber(last[1]:match('^%d+')) or 0)
  redis.call('XADD', looks, 'MAXLEN', '~', kept_looks, string.format('%.0f-*', time), 'l', look)
end
tell(count, changes, key, token, kept_changes)
return {'done'}
