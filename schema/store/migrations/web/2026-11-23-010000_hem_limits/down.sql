ALTER TABLE hem DROP COLUMN import_limit_watts;
ALTER TABLE hem DROP COLUMN export_limit_watts;
