-- The queue's operations, each of which happens whole or not at all. The first argument names one.
--
-- A repository has a stream; an entry of it is a job that waits or is in somebody's hands. Its group's list of pending entries is
-- the list of leases: taken by XCLAIM, renewed by XCLAIM, and taken back by XAUTOCLAIM from those who let them lie. So the
-- clock that counts is this server's.
local GROUP = 'workers'

local function now()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function seconds() return math.floor(now() / 1000) end
local function key(...) return 'imk:' .. table.concat({...}, ':') end
local function job_key(id) return key('job', id) end
local function stream_key(repository) return key('stream', repository) end
local function line_of(repository, line) return repository .. ' ' .. line end
local function get(id, field) return redis.call('HGET', job_key(id), field) or '' end

-- How a line stands: its newest job, the last that ended, the last that told of images.
local function line_known(repository, line)
    local text = redis.call('HGET', key('lines', repository), line)
    if text then return cjson.decode(text) end
    return {}
end

local function line_is(repository, line, known)
    redis.call('HSET', key('lines', repository), line, cjson.encode(known))
end

-- One that ended late says nothing of a line that has gone on.
local function line_ended(id, ok, fresh, stale)
    local repository, line, number = get(id, 'repository'), get(id, 'line'), tonumber(id)
    local known = line_known(repository, line)
    if (known.ended or 0) <= number then known.ended, known.ended_at, known.ok = number, seconds(), ok end
    if fresh + stale > 0 and (known.told or 0) <= number then
        known.told, known.fresh, known.stale = number, fresh, stale
    end
    line_is(repository, line, known)
end

local function set_state(id, kind, detail)
    local old = get(id, 'kind')
    if old ~= '' then redis.call('ZREM', key('kind', old), id) end
    redis.call('ZADD', key('kind', kind), id, id)
    redis.call('HSET', job_key(id), 'kind', kind, 'detail', detail)
    if kind ~= 'queued' and kind ~= 'running' then
        redis.call('HSET', job_key(id), 'ended_at', seconds())
        redis.call('ZADD', key('ended'), seconds(), id)
    end
end

local function replaced(id, by) set_state(id, 'replaced', '{"state":"replaced","by":' .. by .. '}') end
local function dead(id, reason)
    set_state(id, 'dead', cjson.encode({state = 'dead', reason = reason}))
    line_ended(id, false, 0, 0)
end

-- Puts a job into its repository's stream.
local function enter(id)
    local repository = get(id, 'repository')
    local entry = redis.call('XADD', stream_key(repository), '*', 'job', id)
    redis.call('HSET', job_key(id), 'entry', entry)
    redis.call('HSET', key('waiting'), line_of(repository, get(id, 'line')), id)
    set_state(id, 'queued', '{"state":"queued"}')
end

-- Takes a job out of its repository's stream, with its lease.
local function leave(id)
    local stream, entry = stream_key(get(id, 'repository')), get(id, 'entry')
    redis.call('XACK', stream, GROUP, entry)
    redis.call('XDEL', stream, entry)
    redis.call('HDEL', job_key(id), 'cancel')
end

-- Has a job wait again, unless a newer one of its line does: that is enough.
local function wait_again(id)
    leave(id)
    local newer = redis.call('HGET', key('waiting'), line_of(get(id, 'repository'), get(id, 'line')))
    if newer then replaced(id, newer) else enter(id) end
end

local function try_again(id, reason, most)
    local tries = tonumber(get(id, 'tries'))
    if tries < tonumber(most) then return wait_again(id) end
    leave(id)
    if tries > 1 then reason = reason .. ' (after ' .. tries .. ' tries)' end
    dead(id, reason)
end

local function holds(id, token) return get(id, 'token') == token and get(id, 'kind') == 'running' end

local function remember(delivery)
    return redis.call('SET', key('delivery', delivery), '1', 'NX', 'EX', 14 * 24 * 3600)
end

local operations = {}

function operations.offer(repository, line, branch, commit, work, delivery, of_commit, cancels)
    if delivery ~= '' and not remember(delivery) then return {'duplicate'} end
    local place = line_of(repository, line)
    local newest = redis.call('HGET', key('newest'), place)
    local is_queued = newest and get(newest, 'kind') == 'queued'
    if newest and get(newest, 'commit') == commit and (is_queued or of_commit == '1') then
        return {'joined', newest}
    end
    local id = redis.call('INCR', key('last'))
    redis.call('HSET', job_key(id), 'repository', repository, 'line', line, 'commit', commit, 'work', work,
        'tries', 0, 'queued_at', seconds())
    redis.call('ZADD', key('jobs'), id, id)
    redis.call('ZADD', key('jobs', repository), id, id)
    redis.call('HSET', key('newest'), place, id)
    local known = line_known(repository, line)
    known.branch, known.newest = branch, tonumber(id)
    line_is(repository, line, known)
    redis.call('SADD', key('repositories'), repository)
    if redis.call('EXISTS', stream_key(repository)) == 0 then
        redis.call('XGROUP', 'CREATE', stream_key(repository), GROUP, '0', 'MKSTREAM')
    end
    if cancels == '1' then
        for _, running in ipairs(redis.call('ZRANGE', key('kind', 'running'), 0, -1)) do
            if get(running, 'repository') == repository and get(running, 'line') == line
                and get(running, 'commit') ~= commit then
                redis.call('HSET', job_key(running), 'cancel', 1)
            end
        end
    end
    if not is_queued then
        enter(id)
        return {'new', tostring(id)}
    end
    -- It has the place of the one that waited.
    local entry = get(newest, 'entry')
    replaced(newest, id)
    redis.call('HSET', job_key(id), 'entry', entry)
    redis.call('HSET', key('waiting'), place, id)
    set_state(id, 'queued', '{"state":"queued"}')
    return {'replaced', newest, tostring(id)}
end

-- Makes a worker known, takes back what others let lie, and tells how things stand.
function operations.look(worker, labels, lease, most)
    local at, time = now(), tonumber(lease)
    redis.call('HSET', key('workers'), worker, cjson.encode({labels = labels, seen = at}))
    local stand = {waiting = {}, busy = {}, served = {}, alive = {}}
    for _, repository in ipairs(redis.call('SMEMBERS', key('repositories'))) do
        local stream = stream_key(repository)
        if redis.call('EXISTS', stream) == 1 and redis.call('XPENDING', stream, GROUP)[1] > 0 then
            local lying = redis.call('XAUTOCLAIM', stream, GROUP, 'nobody', time, '0', 'COUNT', 100, 'JUSTID')[2]
            local is_lying = {}
            for _, entry in ipairs(lying) do is_lying[entry] = true end
            for _, id in ipairs(redis.call('ZRANGE', key('kind', 'running'), 0, -1)) do
                if get(id, 'repository') == repository and is_lying[get(id, 'entry')] then
                    local silent = math.floor(time / 1000)
                    try_again(id, 'worker `' .. get(id, 'worker') .. '` said nothing for ' .. silent .. ' s', most)
                end
            end
            if redis.call('XPENDING', stream, GROUP)[1] > 0 then table.insert(stand.busy, repository) end
        end
        local turn = redis.call('ZSCORE', key('turns'), repository)
        if turn then
            table.insert(stand.served, {repository, tonumber(turn), redis.call('HGET', key('served'), repository)})
        end
    end
    for _, id in ipairs(redis.call('ZRANGE', key('kind', 'queued'), 0, -1)) do
        table.insert(stand.waiting, {tonumber(id), get(id, 'entry'), get(id, 'work'), seconds() - tonumber(get(id, 'queued_at'))})
    end
    local workers = redis.call('HGETALL', key('workers'))
    for index = 1, #workers, 2 do
        local seen = cjson.decode(workers[index + 1])
        if at - seen.seen <= 2 * time then
            table.insert(stand.alive, {workers[index], seen.labels})
        elseif at - seen.seen > 24 * 3600 * 1000 then
            redis.call('HDEL', key('workers'), workers[index])
        end
    end
    return cjson.encode(stand)
end

-- Gives a job to a worker, if it still waits and its repository is nobody's.
function operations.take(id, worker, token)
    local repository = get(id, 'repository')
    local stream = stream_key(repository)
    if get(id, 'kind') ~= 'queued' or redis.call('XPENDING', stream, GROUP)[1] > 0 then return 0 end
    local claimed = redis.call('XCLAIM', stream, GROUP, worker, 0, get(id, 'entry'), 'FORCE', 'JUSTID')
    if #claimed == 0 then return 0 end
    redis.call('HDEL', key('waiting'), line_of(repository, get(id, 'line')))
    redis.call('HINCRBY', job_key(id), 'tries', 1)
    redis.call('HSET', job_key(id), 'worker', worker, 'token', token, 'started_at', seconds())
    redis.call('ZADD', key('turns'), redis.call('INCR', key('turn')), repository)
    redis.call('HSET', key('served'), repository, worker)
    set_state(id, 'running', cjson.encode({state = 'running', worker = worker, since = seconds()}))
    return 1
end

function operations.renew(id, worker, token, labels)
    redis.call('HSET', key('workers'), worker, cjson.encode({labels = labels, seen = now()}))
    if not holds(id, token) then return 'lost' end
    redis.call('XCLAIM', stream_key(get(id, 'repository')), GROUP, worker, 0, get(id, 'entry'), 'JUSTID')
    if get(id, 'cancel') == '1' then return 'cancel' end
    return 'kept'
end

function operations.finish(id, token, kind, detail, fresh, stale)
    -- The answer to the first call may have been lost.
    if get(id, 'token') == token and get(id, 'detail') == detail then return 1 end
    if not holds(id, token) then return 0 end
    leave(id)
    set_state(id, kind, detail)
    line_ended(id, kind == 'succeeded', tonumber(fresh), tonumber(stale))
    return 1
end

function operations.fail(id, token, reason, most)
    if not holds(id, token) then return 0 end
    try_again(id, reason, most)
    return 1
end

function operations.give_back(id, token)
    if not holds(id, token) then return 0 end
    redis.call('HINCRBY', job_key(id), 'tries', -1)
    wait_again(id)
    return 1
end

-- A dead job that is done again leaves the list of the dead.
function operations.revive(id, by)
    if get(id, 'kind') == 'dead' then replaced(id, by) end
    return 1
end

function operations.remember(delivery)
    if remember(delivery) then return 1 end
    return 0
end

-- How lines stand, of one repository or of all.
function operations.lines(repository)
    local names, all = {repository}, {}
    if repository == '' then names = redis.call('SMEMBERS', key('repositories')) end
    for _, name in ipairs(names) do
        local lines = redis.call('HGETALL', key('lines', name))
        for index = 1, #lines, 2 do table.insert(all, {name, lines[index], lines[index + 1]}) end
    end
    return all
end

-- Some of the jobs that ended before a moment; those that say how a branch stands are kept.
function operations.forget(moment, most)
    local gone = {}
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('ended'), '-inf', '(' .. moment)) do
        if #gone >= tonumber(most) then break end
        local repository, line = get(id, 'repository'), get(id, 'line')
        local known, number = line_known(repository, line), tonumber(id)
        local is_branch = string.sub(line, 1, 11) == 'refs/heads/'
        local is_last = known.newest == number
        if not (is_branch and (is_last or known.ended == number or known.told == number)) then
            redis.call('ZREM', key('ended'), id)
            redis.call('ZREM', key('kind', get(id, 'kind')), id)
            redis.call('ZREM', key('jobs'), id)
            redis.call('ZREM', key('jobs', repository), id)
            redis.call('DEL', job_key(id))
            -- A pull request goes with its last job.
            if is_last then
                redis.call('HDEL', key('lines', repository), line)
                redis.call('HDEL', key('newest'), line_of(repository, line))
            end
            table.insert(gone, id)
        end
    end
    return gone
end

return operations[ARGV[1]](unpack(ARGV, 2))
