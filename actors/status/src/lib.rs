//! Every HEM's status for REST and MEMWeb.
