-- Ends a partition's history and begins the next, if it is still where the caller saw it.
local meta, lost, restricted, restricted_index, log, staged, staged_index = unpack(KEYS)
local seen_epoch, seen_revision, seen_id, epoch, created, previous, revision, format, partitions,
      staged_count, staged_digest, partial, line, channel, publish = unpack(ARGV)

for key, kind in pairs({
  [meta] = 'hash', [restricted] = 'hash', [restricted_index] = 'zset', [log] = 'stream',
}) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then return {'WRONG_TYPE', key} end
end
local head = redis.call('HMGET', meta, 'epoch', 'rev', 'sid', 'restricted_count',
                        'restricted_digest', 'chain', 'partial')
if (head[1] or '') ~= seen_epoch then return {'MOVED'} end
if head[1] and (head[2] ~= seen_revision or head[3] ~= seen_id) then return {'MOVED'} end
if staged_count ~= '' and redis.call('HLEN', staged) ~= tonumber(staged_count) then
  return {'STAGED'}
end

-- From here on nothing is refused.
local count, digest = head[4] or '0', head[5] or '0000000000000000'
if staged_count ~= '' then
  count, digest = staged_count, staged_digest
  if redis.call('EXISTS', staged) == 1 then
    redis.call('RENAME', staged, restricted)
    redis.call('RENAME', staged_index, restricted_index)
    redis.call('PERSIST', restricted)
    redis.call('PERSIST', restricted_index)
  else
    redis.call('DEL', restricted, restricted_index)
  end
end
redis.call('HSET', meta, 'format', format, 'partitions', partitions, 'epoch', epoch,
           'created', created, 'previous', previous, 'rev', revision, 'restricted_count', count,
           'restricted_digest', digest, 'chain', head[6] or '',
           'partial', partial ~= '' and partial or head[7] or '0')
local log_id = redis.call('XADD', log, 'MAXLEN', '~', '100000', '*', 'rev', revision,
                          'change', line)
redis.call('HSET', meta, 'sid', log_id)
redis.call('DEL', lost)
redis.pcall(publish, channel, epoch .. ' ' .. (head[3] or '') .. ' ' .. log_id .. ' '
            .. revision .. ' ' .. line)
return {'SUCCEEDED'}
