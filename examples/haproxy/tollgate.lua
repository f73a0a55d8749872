-- Asks Tollgate about a request. HAProxy 2.6 and later; nothing else is needed.
--
-- The customer is the variable `txn.customer`, which the configuration sets from a key that it
-- verified. A pass sets `txn.tollgate` to `pass`; nothing else does.

local TOLLGATE = "unix@/run/tollgate/check.sock"
local URL = "http://tollgate/v1/forward-auth"
-- For one try. HAProxy 2.6 makes four.
local TIMEOUT_MS = 100

-- The client's headers that make more of a request than its method says.
local TOLD = { "upgrade", "x-http-method-override", "x-http-method", "x-method-override" }

-- Every line of a header. HAProxy counts them from 0.
local function lines(values)
    local all = {}
    for _, value in pairs(values) do
        table.insert(all, value)
    end
    return all
end

local function question(txn)
    local received = txn.http:req_get_headers()
    local told = {
        ["x-forwarded-method"] = { txn.f:method() },
        ["x-forwarded-uri"] = { txn.f:pathq() },
    }
    local customer = txn:get_var("txn.customer")
    if customer ~= nil then
        told["x-customer-id"] = { customer }
    end
    for _, name in ipairs(TOLD) do
        if received[name] ~= nil then
            told[name] = lines(received[name])
        end
    end
    return told
end

-- The headers of an answer, but for those that belong to the connection.
local function headers_of(answer)
    local headers = {}
    for name, values in pairs(answer.headers) do
        if name ~= "content-length" and name ~= "transfer-encoding" and name ~= "connection" then
            headers[name] = lines(values)
        end
    end
    return headers
end

local function refuse(txn, answer)
    local reply = txn:reply({ status = answer.status, body = answer.body })
    for name, values in pairs(headers_of(answer)) do
        for _, value in ipairs(values) do
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end

core.register_action("tollgate", { "http-req" }, function(txn, when_away)
    local answer = core.httpclient():get({
        url = URL,
        dst = TOLLGATE,
        headers = question(txn),
        timeout = TIMEOUT_MS,
    })
    -- HAProxy makes up an answer of its own when it gets none. Tollgate's always carry this.
    local is_tollgates = answer.headers ~= nil and answer.headers["x-tollgate-decision"] ~= nil
    if not is_tollgates or answer.status >= 500 then
        if when_away == "open" then
            txn:set_var("txn.tollgate", "pass")
        elseif is_tollgates then
            refuse(txn, answer)
        end
        return
    end
    if answer.status ~= 200 then
        refuse(txn, answer)
        return
    end
    for name, values in pairs(answer.headers) do
        if string.sub(name, 1, 11) == "x-tollgate-" then
            txn.http:req_set_header(name, values[0])
        end
    end
    txn:set_var("txn.tollgate", "pass")
end, 1)
