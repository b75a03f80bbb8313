//! A MongoDB of one's own: a replica set of one, since only that has transactions and change streams.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::guarded::{Guarded, spare_port};
use crate::mongo_wire::{Value, ask};

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A running MongoDB; stopped when dropped.
#[derive(Debug)]
pub struct MongoDb {
    mongod: PathBuf,
    folder: PathBuf,
    port: u16,
    server: Option<Guarded>,
}

impl MongoDb {
    /// Starts one, of this `mongod`, and waits until it takes writes.
    ///
    /// # Errors
    /// When it does not come up; with what it printed.
    pub fn start(mongod: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut mongo = Self {
            mongod: mongod.to_path_buf(),
            folder: folder.to_path_buf(),
            port: spare_port()?,
            server: None,
        };
        mongo.start_again()?;
        Ok(mongo)
    }

    /// Its address, which stays the same over restarts.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", self.port)
    }

    /// Stops the server, and waits until it is gone.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts the server where it was, and waits until it takes writes.
    ///
    /// # Errors
    /// When it does not come up; with what it printed.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let data = self.folder.join("data");
        std::fs::create_dir_all(&data)
            .with_context(|| format!("{} cannot be made", data.display()))?;
        let port = self.port.to_string();
        let command_line = [
            self.mongod.as_os_str(),
            "--dbpath".as_ref(),
            data.as_os_str(),
            "--port".as_ref(),
            port.as_ref(),
            "--replSet".as_ref(),
            "rs0".as_ref(),
            "--bind_ip".as_ref(),
            "127.0.0.1".as_ref(),
            "--nounixsocket".as_ref(),
            // Small: it shares the machine with the tests, and its data is thrown away.
            "--oplogSize".as_ref(),
            "64".as_ref(),
            "--wiredTigerCacheSizeGB".as_ref(),
            "0.25".as_ref(),
            "--wiredTigerEngineConfigString".as_ref(),
            "log=(prealloc=false,file_max=10MB)".as_ref(),
            "--setParameter".as_ref(),
            "diagnosticDataCollectionEnabled=false".as_ref(),
        ];
        let mut server = Guarded::start("mongod", &self.folder, &command_line, &[])?;
        server.wait_until(STARTS_WITHIN, || self.takes_writes())?;
        self.server = Some(server);
        Ok(())
    }

    /// Whether it is the primary of its set; makes the set if there is none.
    fn takes_writes(&self) -> bool {
        let hello = [("hello", Value::Int32(1)), ("$db", Value::Text("admin".into()))];
        let Ok(answer) = ask(self.port, &hello) else { return false };
        if answer.is_true("isWritablePrimary") {
            return true;
        }
        if answer.is_true("isreplicaset") {
            // So `hello` says that it waits for a set.
            let host = Value::Text(format!("127.0.0.1:{}", self.port));
            let member = Value::Document(vec![("_id", Value::Int32(0)), ("host", host)]);
            let set = Value::Document(vec![
                ("_id", Value::Text("rs0".into())),
                ("members", Value::Array(vec![("0", member)])),
            ]);
            let _ =
                ask(self.port, &[("replSetInitiate", set), ("$db", Value::Text("admin".into()))]);
        }
        false
    }
}
