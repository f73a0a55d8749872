"""What is so between several fields, and what only a running server knows: JSON Schema has no words
for it, so that requests which are meant to be right are made so here. Those that are meant to be
wrong are left alone."""

import datetime
import os
import re

import schemathesis
from hypothesis import strategies

# A moment that exists: neither of the 30th of February nor before 1970.
moments = strategies.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(9999, 12, 1))
schemathesis.openapi.format("date-time", moments.map(lambda at: at.isoformat() + "Z"))

# Lines of an import: some are right, and what is wrong with the others is told of each.
lines = strategies.sampled_from([
    '{"customerId":"i1","plan":"pro"}',
    '{"customerId":"i2","status":"frozen","reason":"dispute"}',
    '{"customerId":"i2","restrictions":[],"source":"billing"}',
    '{"customerId":"i 3"}',
    '{"customerId":"i4","customerId":"i5"}',
    "no JSON",
])
schemathesis.openapi.media_type(
    "application/x-ndjson",
    strategies.lists(lines, min_size=1, max_size=5).map(lambda each: "\n".join(each).encode()),
)

REVISION = os.environ["TOLLGATE_TEST_REVISION"]


@schemathesis.hook
def before_call(context, case, kwargs):
    query = case.query if isinstance(case.query, dict) else {}
    settle_revisions([query, case.body])
    # Whoever is erased is of no use to what comes after.
    if case.operation.path == "/v1/customers/{id}/purge" and case.path_parameters["id"] == "c1":
        case.path_parameters["id"] = "c2"
    if case.meta is not None and not case.meta.generation.mode.is_positive:
        return
    # What is made up for this header does not always keep to the pattern.
    if not is_revision(case.headers.get("If-Match", "").strip('"')):
        case.headers.pop("If-Match", None)
    body = case.body if isinstance(case.body, dict) else {}
    settle_query(case.operation.path, query)
    for part in [body, *(body.get("checks") or [])]:
        settle_act(part)
        settle_check(part)
    if case.operation.path == "/v1/customers/{id}" and case.operation.method.lower() == "put":
        settle_put(case, body)
    if case.operation.path == "/v1/keys" and body.get("expiresAt"):
        # A key that is to be made is good for a while.
        body["expiresAt"] = "9999-12-01T00:00:00Z"


def settle_revisions(said):
    """A revision of another store is never reached, which is 503 whatever else is asked."""
    if isinstance(said, dict):
        if is_revision(str(said.get("minRevision"))):
            said["minRevision"] = REVISION
    if isinstance(said, (dict, list)):
        for part in said.values() if isinstance(said, dict) else said:
            settle_revisions(part)


def is_revision(text):
    return re.fullmatch("[a-z0-9]{1,32}:[0-9]{1,4}[.][0-9]{1,19}", text)


def settle_query(path, query):
    if path.startswith("/v1/explain/"):
        settle_request(query)
        # A value is that of a limit.
        if "limit" not in query:
            query.pop("value", None)
    # An export has no length, and a store in memory has one partition.
    if query.get("format") == "ndjson":
        query.pop("limit", None)
    # An import begins in the store that is there.
    if path == "/v1/import":
        query.pop("store", None)
    if "partition" in query:
        query["partition"] = 0


def settle_act(body):
    # What ends does so after it began, which is now if nothing is said.
    since, until = body.get("since"), body.get("until")
    if isinstance(until, str):
        body["until"] = "9999-12-01T00:00:00Z"
        if isinstance(since, str) and since >= "9999":
            body["since"] = "2026-11-21T10:00:00Z"


def settle_check(body):
    if "customerId" in body or "checks" in body:
        settle_request(body)


def settle_request(asked):
    """An act is asked about by its name, or by a method and a path."""
    if asked.get("action") is not None or asked.get("method") is None or asked.get("path") is None:
        asked.pop("method", None)
        asked.pop("path", None)


def settle_put(case, body):
    if body.get("status") is None:
        for field in ["reason", "notes", "since", "until", "informedAt"]:
            body.pop(field, None)
    if body.get("status") == "active":
        body.pop("since", None)
        body.pop("until", None)
    if body.get("revision") is not None:
        # Said twice, it has to be the same.
        case.headers.pop("If-Match", None)
    elif body.get("status") is not None and not set(body) <= {"status", "reason"}:
        body["revision"] = REVISION
        case.headers.pop("If-Match", None)
