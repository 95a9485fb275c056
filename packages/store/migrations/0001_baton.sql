-- Everything Baton keeps. Every table has `namespace`, the tenant. Times are timestamptz(3): JavaScript sees milliseconds, and a cursor made
-- from what it saw must find the same row again. Payloads are `json`, not `jsonb`: they are only ever read whole, keep the order of their
-- keys (a run that is loaded again renders the same text as before), take what jsonb refuses (\u0000) and cost less to write. There are no
-- foreign keys on the hot tables: a run is never deleted under its rows, and a key check would lock rows of `runs` that the commit needs.

-- The partition of a run, as `partitionOf` has it everywhere else: the last hex digit of its id.
create function partition_of(run_id uuid) returns smallint language sql immutable parallel safe as $$
  select (get_byte(uuid_send(run_id), 15) & 15)::smallint
$$;

-- Frozen copies of definitions, by content: what a run executes never changes under it.
create table definitions (
  namespace text not null,
  checksum text not null,
  source json not null,
  created_at timestamptz(3) not null default now(),
  primary key (namespace, checksum)
);

create table workflows (
  namespace text not null,
  name text not null,
  description text,
  latest_version integer not null default 0 check (latest_version >= 0),
  archived_at timestamptz(3),
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  primary key (namespace, name)
);
create index workflows_newest on workflows (namespace, created_at desc, name);

create table workflow_versions (
  namespace text not null,
  name text not null,
  version integer not null check (version > 0),
  checksum text not null,
  description text,
  created_by text not null,
  created_at timestamptz(3) not null default now(),
  primary key (namespace, name, version),
  foreign key (namespace, name) references workflows,
  foreign key (namespace, checksum) references definitions
);

create table workflow_tags (
  namespace text not null,
  name text not null,
  tag text not null,
  version integer not null,
  updated_at timestamptz(3) not null default now(),
  primary key (namespace, name, tag),
  foreign key (namespace, name, version) references workflow_versions
);

-- The summary of a run that lists read; its truth are its events. A page has room for the next version of each row (HOT), because most
-- commits of a run change no indexed column.
create table runs (
  id uuid primary key,
  namespace text not null,
  workflow text not null,
  version integer not null,
  checksum text not null,
  definition_version integer not null default 1,
  status text not null default 'queued'
    check (status in ('queued', 'running', 'waiting', 'paused', 'succeeded', 'failed', 'cancelled', 'timed_out')),
  ending text check (ending in ('failed', 'cancelled', 'timed_out')),
  seq integer not null default 1 check (seq > 0),
  priority smallint not null default 5 check (priority between 0 and 9),
  labels jsonb not null default '{}',
  input json not null,
  output json not null default 'null',
  error json not null default 'null',
  started_by text not null,
  trace text,
  created_at timestamptz(3) not null,
  started_at timestamptz(3),
  ended_at timestamptz(3),
  updated_at timestamptz(3) not null,
  forked_from uuid,
  parent_run uuid,
  parent_step text,
  check ((ended_at is not null) = (status in ('succeeded', 'failed', 'cancelled', 'timed_out')))
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1);
create index runs_newest on runs (namespace, id desc);
create index runs_of_workflow on runs (namespace, workflow, id desc);
create index runs_by_status on runs (namespace, status, id desc);
create index runs_by_label on runs using gin (labels jsonb_path_ops) where labels <> '{}';
create index runs_active on runs (partition_of(id), id) where status in ('queued', 'running', 'paused');

-- One immutable row per event. Partitioned by month: ids are UUIDv7, so a range of ids is a range of time and the key stays a real one.
create table run_events (
  run_id uuid not null,
  seq integer not null check (seq > 0),
  at timestamptz(3) not null,
  namespace text not null,
  type text not null,
  path text not null,
  data json not null,
  primary key (run_id, seq)
) partition by range (run_id);
create table run_events_default partition of run_events default;

-- The smallest UUIDv7 of a moment.
create function uuid_floor(moment timestamptz) returns uuid language sql immutable strict parallel safe as $$
  select (lpad(to_hex(greatest(floor(extract(epoch from moment) * 1000), 0)::bigint), 12, '0') || '00000000000000000000')::uuid
$$;

-- Makes the partition of the month that holds `moment`; returns its name, or null when it was there. Rows that fell into the default
-- partition meanwhile are moved. The caller holds the lock that keeps two callers apart.
create function ensure_event_partition(moment timestamptz) returns text language plpgsql as $$
declare
  month timestamptz := date_trunc('month', moment at time zone 'UTC') at time zone 'UTC';
  next_month timestamptz := (date_trunc('month', moment at time zone 'UTC') + interval '1 month') at time zone 'UTC';
  partition_name text := 'run_events_' || to_char(moment at time zone 'UTC', 'YYYYMM');
begin
  if to_regclass(partition_name) is not null then
    return null;
  end if;
  execute format('create table %I (like run_events including defaults including constraints)', partition_name);
  execute format(
    'with moved as (delete from run_events_default where run_id >= %L and run_id < %L returning *) insert into %I select * from moved',
    uuid_floor(month), uuid_floor(next_month), partition_name);
  execute format(
    'alter table run_events attach partition %I for values from (%L) to (%L)',
    partition_name, uuid_floor(month), uuid_floor(next_month));
  return partition_name;
end
$$;

-- States of long runs, so that they are not folded from their first event. Safe to lose; one of another shape is ignored.
create table run_snapshots (
  run_id uuid not null,
  seq integer not null check (seq > 0),
  namespace text not null,
  shape integer not null,
  state json not null,
  created_at timestamptz(3) not null default now(),
  primary key (run_id, seq)
);

-- Facts that somebody was told are accepted; a row is deleted in the statement that applies it.
create table inbox (
  id bigint generated always as identity primary key,
  namespace text not null,
  run_id uuid not null,
  fact json not null,
  created_at timestamptz(3) not null default now()
) with (autovacuum_vacuum_scale_factor = 0.05);
create index inbox_of_run on inbox (run_id);
create index inbox_oldest on inbox (partition_of(run_id), id);

-- Due by the clock of Postgres; a row is deleted in the statement that applies it.
create table timers (
  namespace text not null,
  run_id uuid not null,
  path text not null,
  timer text not null,
  generation integer not null,
  attempt integer not null,
  due_at timestamptz(3) not null,
  partition smallint not null,
  primary key (run_id, path, timer)
) with (autovacuum_vacuum_scale_factor = 0.05);
create index timers_due on timers (partition, due_at);

create table approvals (
  id uuid primary key,
  namespace text not null,
  run_id uuid not null,
  path text not null,
  generation integer not null,
  workflow text not null,
  started_by text not null,
  status text not null default 'pending' check (status in ('pending', 'decided', 'expired', 'cancelled')),
  title text not null,
  description text,
  data json not null,
  form json not null,
  options json not null,
  assignees text[] not null,
  quorum integer check (quorum > 0), -- null: all
  veto boolean not null,
  allow_self boolean not null,
  require_comment json not null,
  notify json,
  notify_secrets json,
  notified_at timestamptz(3),
  votes_cast integer not null default 0, -- moves with each vote, so that votes are counted one after the other
  decision text,
  deadline timestamptz(3),
  created_at timestamptz(3) not null default now(),
  closed_at timestamptz(3),
  unique (run_id, path, generation),
  check ((closed_at is null) = (status = 'pending'))
);
create index approvals_newest on approvals (namespace, id desc);
create index approvals_pending on approvals (namespace, id desc) where status = 'pending';
create index approvals_unnotified on approvals (id) where status = 'pending' and notify is not null and notified_at is null;
create index approvals_due on approvals (deadline) where status = 'pending';

-- Votes are final. `voter` is an identity, `name` what people know it by; role and groups as they were when it voted.
create table approval_votes (
  namespace text not null,
  approval_id uuid not null references approvals,
  voter text not null,
  name text not null,
  role text not null,
  groups text[] not null,
  decision text not null,
  comment text,
  data json not null,
  at timestamptz(3) not null,
  primary key (approval_id, voter)
);

-- AES-256-GCM under a key derived from the master key; additional data: namespace/name, so that a row cannot be passed off as another.
create table secrets (
  namespace text not null,
  name text not null,
  key_id text not null,
  nonce bytea not null,
  ciphertext bytea not null,
  tag bytea not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  primary key (namespace, name)
);
create index secrets_newest on secrets (namespace, created_at desc, name desc);

create table vars (
  namespace text not null,
  name text not null,
  value json not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  primary key (namespace, name)
);
create index vars_newest on vars (namespace, created_at desc, name desc);

create table api_keys (
  id uuid primary key,
  namespace text not null,
  name text not null,
  role text not null check (role in ('admin', 'developer', 'operator', 'viewer', 'worker')),
  groups text[] not null default '{}',
  hash bytea not null unique,
  created_at timestamptz(3) not null default now(),
  revoked_at timestamptz(3)
);
create unique index api_keys_name on api_keys (namespace, name) where revoked_at is null;
create index api_keys_newest on api_keys (namespace, id desc);

-- Payloads over 64 KiB, by content. One that an event refers to is kept with its run (`kept_by`); the others go when nobody has touched them
-- for a day.
create table blobs (
  namespace text not null,
  sha256 text not null,
  bytes integer not null,
  content text not null,
  touched_at timestamptz(3) not null default now(),
  kept_by uuid,
  primary key (namespace, sha256)
);
create index blobs_loose on blobs (touched_at) where kept_by is null;

-- Runs whose events may refer to a payload: written before the commit, so that there may be too many and never too few.
create table blob_uses (
  namespace text not null,
  sha256 text not null,
  run_id uuid not null,
  primary key (namespace, sha256, run_id)
);

-- A key counts for 24 hours and while its run is open; after that the next request with it starts a new run.
create table idempotency_keys (
  namespace text not null,
  workflow text not null,
  key text not null,
  run_id uuid not null,
  body_hash text not null,
  created_at timestamptz(3) not null default now(),
  primary key (namespace, workflow, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);
