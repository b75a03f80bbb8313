DROP TABLE command_order;
DROP TABLE command_in_force;
DROP TABLE open_command;
DROP TABLE command;
