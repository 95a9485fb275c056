-- baton: expand
-- Tasks: units of work that `task` steps offer to outside programs.

-- Opened and withdrawn by the commits of their runs; claimed, ended and given back by move-task.ts, under the lock of the row. `holder` is the
-- identity of the key that holds the task, or held it when it ended; `claims` numbers the claims (the fencing token); `reserved_for` is the key
-- that it was handed to. `progress` stays for
-- the next holder. `result`: output or error.
create table tasks (
  id uuid primary key,
  namespace text not null,
  run_id uuid not null,
  path text not null,
  generation integer not null,
  attempt integer not null,
  workflow text not null,
  capabilities text[] not null check (cardinality(capabilities) > 0),
  payload json not null,
  lease_ms integer not null check (lease_ms > 0),
  priority smallint not null,
  status text not null default 'open' check (status in ('open', 'claimed', 'completed', 'failed', 'cancelled')),
  reserved_for text,
  reserved_name text,
  holder text,
  holder_name text,
  claims integer not null default 0,
  claimed_at timestamptz(3),
  lease_until timestamptz(3),
  lease_expiries integer not null default 0,
  progress json,
  progress_told integer not null default 0, -- how much of the progress under this claim stands in the events of the run, and since when
  progress_told_at timestamptz(3),
  handoff json,
  result json,
  created_at timestamptz(3) not null default now(),
  closed_at timestamptz(3),
  unique (run_id, path, generation, attempt),
  check ((lease_until is not null) = (status = 'claimed')),
  check (status not in ('claimed', 'completed', 'failed') or holder is not null),
  check ((closed_at is null) = (status in ('open', 'claimed')))
) with (autovacuum_vacuum_scale_factor = 0.05);
create index tasks_newest on tasks (namespace, id desc);
create index tasks_by_status on tasks (namespace, status, id desc);
-- The next one for a worker: by the first capability that it asks for, then priority, then age.
create index tasks_next on tasks (namespace, (capabilities[1]), priority desc, id) where status = 'open';
create index tasks_leases on tasks (lease_until) where status = 'claimed';
create index tasks_of_run on tasks (run_id) where closed_at is null;
