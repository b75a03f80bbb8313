//! Where MEMCloud keeps things: ports, SQLite adapters, migrations.
