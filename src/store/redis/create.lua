-- Begins the first history of an empty partition.
local meta, log, lost = unpack(KEYS)
local epoch, format, partitions, line, channel, publish = unpack(ARGV)
if redis.call('EXISTS', meta) == 1 then
  local is_ours = redis.call('TYPE', meta).ok == 'hash'
  return {'EXISTS', is_ours and redis.call('HGET', meta, 'created') or ''}
end
local lost_epoch = redis.call('GET', lost)
if lost_epoch then return {'LOST', lost_epoch} end
if redis.call('EXISTS', log) == 1 then return {'NOT_EMPTY'} end
redis.call('HSET', meta, 'format', format, 'partitions', partitions, 'epoch', epoch,
           'created', epoch, 'previous', '', 'rev', '1', 'restricted_count', '0',
           'restricted_digest', '0000000000000000', 'chain', '')
local log_id = redis.call('XADD', log, '*', 'rev', '1', 'change', line)
redis.call('HSET', meta, 'sid', log_id)
redis.pcall(publish, channel, epoch .. '  ' .. log_id .. ' 1 ' .. line)
return {'CREATED'}
