-- baton: expand
-- The id of the request that started the run, beside its traceparent: logs of all services are found by it.
alter table runs add column request_id text;
