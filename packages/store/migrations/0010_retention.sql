-- baton: expand
-- Ended runs go when they are older than their retention. Building the indexes takes a second or two for a million runs, in which runs cannot be
-- started.

-- A run goes after its child runs have ended, and not before its parent has.
create index runs_of_parent on runs (parent_run) where parent_run is not null;
-- The payloads of a run that goes.
create index blob_uses_of_run on blob_uses (run_id);

-- Drops the partitions of months that ended before `moment`, have no event left, and no run whose events would belong there. Returns their
-- names. The caller holds the lock that keeps two callers apart.
create function drop_event_partitions(moment timestamptz) returns setof text language plpgsql as $$
declare
  partition_name text;
  month timestamptz;
  next_month timestamptz;
  is_used boolean;
begin
  for partition_name in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'run_events'::regclass and c.relname ~ '^run_events_[0-9]{6}$' order by 1
  loop
    month := make_timestamptz(substr(right(partition_name, 6), 1, 4)::int, right(partition_name, 2)::int, 1, 0, 0, 0, 'UTC');
    next_month := (month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
    exit when next_month > moment;
    continue when exists (select from runs where id >= uuid_floor(month) and id < uuid_floor(next_month));
    execute format('select exists (select from %I)', partition_name) into is_used;
    continue when is_used;
    execute format('drop table %I', partition_name);
    return next partition_name;
  end loop;
end
$$;
