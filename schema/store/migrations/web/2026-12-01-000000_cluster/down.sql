DROP TABLE microgrid_owner;
DROP TABLE process;
