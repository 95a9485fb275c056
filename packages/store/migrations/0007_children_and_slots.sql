-- baton: expand
-- Child runs, and slots of concurrency keys.

-- `parent_generation`: of the step that waits for the end of this run; null when none does. `depth`: how many runs are above it.
alter table runs add column parent_generation integer;
alter table runs add column depth smallint not null default 0;

-- Runs whose workflow has a concurrency key, from when they are to start until they have ended: those that hold a slot, and those that wait for
-- one. Who may go next is decided under the lock of the key (`slot_lock_key`). `slots`: how many may hold one at a time, in the version that
-- the run executes.
create table concurrency_slots (
  run_id uuid primary key,
  namespace text not null,
  workflow text not null,
  key text not null,
  priority smallint not null,
  slots integer not null check (slots > 0),
  held boolean not null default false,
  created_at timestamptz(3) not null default now()
) with (autovacuum_vacuum_scale_factor = 0.05);
create index concurrency_slots_queue on concurrency_slots (namespace, workflow, key, held, priority desc, run_id);

create function slot_lock_key(namespace text, workflow text, key text) returns bigint language sql immutable strict parallel safe as $$
  select hashtextextended(namespace || '/' || workflow || '/' || key, 20261129)
$$;
