-- baton: expand
-- What starts runs and wakes waiting ones from outside: events, schedules, and triggers (webhooks and events).

-- The advisory lock of one type of events. Who accepts events holds it shared while it looks for waiters; who registers a waiter holds it
-- alone while it looks for earlier events. So one of the two sees the other, whichever comes first. A namespace holds no slash.
create function event_lock_key(namespace text, type text) returns bigint language sql immutable strict parallel safe as $$
  select hashtextextended(namespace || '/' || type, 20261128)
$$;

-- Accepted events, each a CloudEvent as it came. `seq` is the order of acceptance. `untriggered`: it was accepted where no runs can be started
-- (a run emitted it); an orchestrator looks for its triggers, and takes the mark away in the transaction that starts their runs.
create table custom_events (
  seq bigint generated always as identity primary key,
  namespace text not null,
  source text not null,
  event_id text not null,
  type text not null,
  subject text,
  event json not null,
  untriggered boolean not null default false,
  accepted_at timestamptz(3) not null default clock_timestamp(),
  unique (namespace, source, event_id)
) with (autovacuum_vacuum_scale_factor = 0.05);
create index custom_events_of_type on custom_events (namespace, type, seq);
create index custom_events_age on custom_events (accepted_at);
create index custom_events_untriggered on custom_events (seq) where untriggered;

-- Steps that wait for an event of this type; the runner writes and deletes them in its commit.
create table event_waiters (
  namespace text not null,
  type text not null,
  run_id uuid not null,
  path text not null,
  generation integer not null,
  created_at timestamptz(3) not null default now(),
  primary key (run_id, path)
) with (autovacuum_vacuum_scale_factor = 0.05);
create index event_waiters_of_type on event_waiters (namespace, type);

-- `next_at`: the next slot that has not been dealt with; null when there is none, or while it is not enabled. It moves on in the transaction
-- that starts the runs of the slots before it.
create table schedules (
  namespace text not null,
  name text not null,
  workflow text not null,
  enabled boolean not null,
  settings json not null,
  next_at timestamptz(3),
  last_at timestamptz(3),
  last_run uuid,
  last_error text,
  last_error_at timestamptz(3),
  created_by text not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  primary key (namespace, name),
  check (enabled or next_at is null)
);
create index schedules_due on schedules (next_at) where next_at is not null;
create index schedules_newest on schedules (namespace, created_at desc, name desc);

-- Of the token of a webhook only its SHA-256 is kept.
create table triggers (
  namespace text not null,
  name text not null,
  type text not null check (type in ('webhook', 'event')),
  workflow text not null,
  enabled boolean not null,
  settings json not null,
  event_type text,
  token_hash text,
  last_error text,
  last_error_at timestamptz(3),
  created_by text not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  primary key (namespace, name),
  check ((event_type is not null) = (type = 'event')),
  check ((token_hash is not null) = (type = 'webhook'))
);
create index triggers_of_event on triggers (namespace, event_type) where event_type is not null;
create unique index triggers_token on triggers (token_hash) where token_hash is not null;
create index triggers_newest on triggers (namespace, created_at desc, name desc);
