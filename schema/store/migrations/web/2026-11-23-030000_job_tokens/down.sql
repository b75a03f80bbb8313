DELETE FROM api_token WHERE job_id IS NOT NULL;
DROP INDEX api_token_of_job;
ALTER TABLE api_token DROP COLUMN job_id;
