-- baton: expand
-- Who moved or changed which run, written in the transaction that does it. Rows are never changed.
create table audit (
  id bigint generated always as identity primary key,
  namespace text not null,
  at timestamptz(3) not null default now(),
  actor text not null,
  action text not null,
  run_id uuid,
  request_id text,
  data json not null default '{}'
);
create index audit_newest on audit (namespace, id desc);
create index audit_of_run on audit (run_id, id desc) where run_id is not null;

-- Of the tag canary: the share of runs that take its version when nothing else is named.
alter table workflow_tags add column percent smallint check (percent between 0 and 100);
