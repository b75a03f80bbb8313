//! Several processes as one cloud, on engines of their own, behind a HAProxy.

mod engines_away;
mod take_over;
mod town;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, MysqlConnection};
use memcloud_test_engines::{
    Behind, HaProxy, MariaDb, MongoDb, RabbitMq, amqp, mongodb, mysql, spare_port,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::rest::Caller;
use crate::support::{PATIENCE, TestCloud};

/// Several processes that share a broker, a database on each server, and the keys.
pub(crate) struct TestCluster {
    pub(crate) processes: Vec<TestCloud>,
    /// What stands in front of them.
    pub(crate) balancer: HaProxy,
    pub(crate) broker: RabbitMq,
    /// Of its own, where it may be stopped.
    pub(crate) maria: Option<MariaDb>,
    pub(crate) mongo: Option<MongoDb>,
    web: String,
    _shared: Option<WebDatabase>,
    folder: TempDir,
}

/// A database on the server that the tests share, which goes with it.
struct WebDatabase {
    server: String,
    name: String,
}

impl WebDatabase {
    fn make(server: &str) -> Self {
        let name = format!("cluster_{}", uuid::Uuid::new_v4().simple());
        let server = server.trim_end_matches('/').to_owned();
        let database = Self { server, name };
        database.say(&format!("CREATE DATABASE {}", database.name));
        database
    }

    fn say(&self, sql: &str) {
        MysqlConnection::establish(&self.server).unwrap().batch_execute(sql).unwrap();
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }
}

impl Drop for WebDatabase {
    fn drop(&mut self) {
        self.say(&format!("DROP DATABASE {}", self.name));
    }
}

impl TestCluster {
    /// Starts so many processes on the databases that tests share; nothing where an engine is missing.
    pub(crate) fn start(count: usize) -> Option<Self> {
        let (web, iot) = (mysql()?, mongodb()?);
        let folder = Self::folder_for_all()?;
        let shared = WebDatabase::make(&web);
        let url = shared.url();
        Some(Self::launch(count, folder, (None, None), url, &iot, Some(shared)))
    }

    /// The same with databases of its own, which may be stopped.
    pub(crate) fn start_apart(count: usize) -> Option<Self> {
        mysql()?;
        mongodb()?;
        let folder = Self::folder_for_all()?;
        let mongod = PathBuf::from(std::env::var_os(memcloud_test_engines::MONGOD)?);
        let maria = MariaDb::start(&folder.path().join("mariadb")).unwrap();
        let mongo = MongoDb::start(&mongod, &folder.path().join("mongodb")).unwrap();
        let server = maria.url();
        MysqlConnection::establish(&server)
            .unwrap()
            .batch_execute("CREATE DATABASE cluster")
            .unwrap();
        let (web, iot) = (format!("{server}/cluster"), mongo.url());
        Some(Self::launch(count, folder, (Some(maria), Some(mongo)), web, &iot, None))
    }

    fn folder_for_all() -> Option<TempDir> {
        // A broker of its own: clouds that share one hear each other.
        amqp()?;
        if !HaProxy::is_here() {
            assert!(!memcloud_test_engines::is_ci(), "in CI nothing is left out");
            eprintln!("left out: HAProxy is not installed");
            return None;
        }
        Some(tempfile::tempdir().unwrap())
    }

    fn launch(
        count: usize,
        folder: TempDir,
        (maria, mongo): (Option<MariaDb>, Option<MongoDb>),
        web: String,
        iot: &str,
        shared: Option<WebDatabase>,
    ) -> Self {
        let broker = RabbitMq::start(&folder.path().join("rabbitmq")).unwrap();
        let (scheme, options) = iot.split_once("/?").unwrap_or((iot.trim_end_matches('/'), ""));
        let iot = format!("{scheme}/cluster_{}?{options}", uuid::Uuid::new_v4().simple());
        let keys = folder.path().join("keys");
        let made = crate::support::memcloud()
            .args(["keys"])
            .env("MEMCLOUD_KEYS__DIR", &keys)
            .env("MEMCLOUD_DATA__DIR", folder.path().join("none"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut processes: Vec<TestCloud> = Vec::new();
        let mut behind = Vec::new();
        for _ in 0..count {
            let ports = Behind { hem: spare_port().unwrap(), http: spare_port().unwrap() };
            behind.push(ports);
            let builder = TestCloud::builder()
                .set("hem.bind", format!("127.0.0.1:{}", ports.hem))
                .set("http.bind", format!("127.0.0.1:{}", ports.http))
                .set("keys.dir", keys.display())
                .set("bus.url", broker.url())
                .set("web_store.url", &web)
                .set("iot_store.url", &iot)
                .set("hem.proxy_protocol", true)
                .set("hem.heartbeat", "5s")
                .set("jobs.checkpoint_interval", "1s")
                .set("jobs.catch_up_interval", "1s")
                .set("log.level", "info,memcloud_cluster=debug");
            processes.push(builder.start());
        }
        let balancer = HaProxy::start(&folder.path().join("haproxy"), &behind).unwrap();
        Self { processes, balancer, broker, maria, mongo, web, _shared: shared, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority that clients trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder().join("keys/ca-cert.pem")
    }

    /// Where HEMs connect.
    pub(crate) fn hem(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.balancer.hem_port()).into()
    }

    /// How the cluster stands, as one of its processes says.
    pub(crate) async fn standing(&self, process: usize) -> Value {
        Caller::admin(&self.processes[process]).get("/api/v1/cluster").await.json()
    }

    /// What a process is called.
    pub(crate) async fn name(&self, process: usize) -> String {
        self.standing(process).await["here"].as_str().unwrap().to_owned()
    }

    /// Which process runs a microgrid, by asking the database.
    pub(crate) fn owner(&self, microgrid: &str) -> Option<(String, i64)> {
        use diesel::prelude::*;
        use diesel::sql_types::{BigInt, Nullable, Text};
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Nullable<Text>)]
            process_id: Option<String>,
            #[diesel(sql_type = BigInt)]
            epoch: i64,
        }
        let mut connection = MysqlConnection::establish(&self.web).unwrap();
        let rows: Vec<Row> = diesel::sql_query(
            "SELECT process_id, epoch FROM microgrid_owner WHERE microgrid_id = ?",
        )
        .bind::<Text, _>(microgrid)
        .load(&mut connection)
        .unwrap();
        let row = rows.into_iter().next()?;
        Some((row.process_id?, row.epoch))
    }

    /// The process that runs a microgrid, by its number.
    pub(crate) async fn owner_number(&self, microgrid: &str) -> Option<usize> {
        let (owner, _) = self.owner(microgrid)?;
        for number in 0..self.processes.len() {
            if self.processes[number].is_running() && self.name(number).await == owner {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn signal(&self, process: usize, signal: Signal) {
        self.processes[process].signal(signal);
    }
}

/// Waits until something is so, by asking.
pub(crate) async fn wait_for<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            actix_rt::time::sleep(Duration::from_millis(50)).await;
        }
    };
    actix_rt::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}
