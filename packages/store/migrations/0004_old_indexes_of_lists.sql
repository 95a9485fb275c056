-- baton: contract, needs 0003
-- Lists read runs_of_workflow_by_status and run_labels instead.
drop index runs_of_workflow;
drop index runs_by_label;
