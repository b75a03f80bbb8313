-- What a home may draw from the grid and feed to it; absent: no limit.
ALTER TABLE hem ADD COLUMN import_limit_watts DOUBLE;
ALTER TABLE hem ADD COLUMN export_limit_watts DOUBLE;
