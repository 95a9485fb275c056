-- baton: expand
-- Lists of runs under filters read no more than what they show, however many runs there are. Building all of it takes some seconds for a
-- million runs, in which runs cannot be started.

-- A workflow without a status is read as all statuses, each newest first, so this index serves both.
create index runs_of_workflow_by_status on runs (namespace, workflow, status, id desc);

-- The labels of runs, each with its runs in the order of their ids: a GIN index knows which runs have a label, but not which of them are the
-- newest. Labels never change, so a row is written once, with its run; the GIN index was written anew with every status.
create table run_labels (
  namespace text not null,
  key text not null,
  value text not null,
  run_id uuid not null,
  primary key (namespace, key, value, run_id)
) with (autovacuum_vacuum_insert_scale_factor = 0.05);

-- A trigger, not the statement that starts runs: older replicas beside us start runs too.
create function note_run_labels() returns trigger language plpgsql as $$
begin
  insert into run_labels (namespace, key, value, run_id)
  select r.namespace, l.key, l.value, r.id from fresh r cross join lateral jsonb_each_text(r.labels) as l where r.labels <> '{}';
  return null;
end
$$;
create trigger note_run_labels after insert on runs referencing new table as fresh for each statement execute function note_run_labels();

insert into run_labels (namespace, key, value, run_id)
select r.namespace, l.key, l.value, r.id from runs r cross join lateral jsonb_each_text(r.labels) as l where r.labels <> '{}';
