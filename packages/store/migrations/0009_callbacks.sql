-- baton: expand
-- What became of the wait of a step for its callback: one was received, or the step ended without one. Whoever writes the row first has decided
-- it: an orchestrator in the statement that puts the callback into the inbox, or a runner in the commit that ends the step.
create table callbacks (
  namespace text not null,
  run_id uuid not null,
  path text not null,
  generation integer not null,
  outcome text not null check (outcome in ('received', 'closed')),
  at timestamptz(3) not null default clock_timestamp(),
  primary key (run_id, path, generation)
);
