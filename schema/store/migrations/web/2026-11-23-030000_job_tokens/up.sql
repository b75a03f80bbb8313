-- A token of the role `job` wishes for one job, and goes with it.
ALTER TABLE api_token ADD COLUMN job_id TEXT;
CREATE INDEX api_token_of_job ON api_token (job_id);
