//! The whole cloud with its web data on a MySQL or MariaDB server: by configuration alone, and beside it
//! the command line on the same database.

use diesel::connection::SimpleConnection;
use diesel::{Connection, MysqlConnection};

use crate::homes::{TestHome, now_ms, until};
use crate::rest::Caller;
use crate::support::TestCloud;

/// A database with a user of its own, both gone with it.
struct OwnDatabase {
    server: String,
    name: String,
}

impl OwnDatabase {
    fn make() -> Option<Self> {
        let Some(server) =
            std::env::var("MEMCLOUD_TEST_MYSQL_URL").ok().filter(|url| !url.is_empty())
        else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI nothing is left out");
            println!("left out: MEMCLOUD_TEST_MYSQL_URL names no server");
            return None;
        };
        let server = server.trim_end_matches('/').to_owned();
        let name = format!("memcloud_{}", uuid::Uuid::new_v4().simple().to_string().split_at(16).0);
        let database = Self { server, name };
        // On `localhost` too: there an anonymous user, where there is one, goes before one from anywhere.
        database.say(&format!(
            "CREATE DATABASE {0} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
             CREATE USER {0} IDENTIFIED BY 'hush/hush', {0}@localhost IDENTIFIED BY 'hush/hush';
             GRANT ALL ON {0}.* TO {0}, {0}@localhost",
            database.name
        ));
        Some(database)
    }

    fn say(&self, sql: &str) {
        MysqlConnection::establish(&self.server).unwrap().batch_execute(sql).unwrap();
    }

    fn url(&self) -> String {
        let host = self.server.rsplit('@').next().unwrap().trim_start_matches("mysql://");
        format!("mysql://{0}:hush%2Fhush@{host}/{0}", self.name)
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        self.say(&format!("DROP DATABASE {0}; DROP USER {0}, {0}@localhost", self.name));
    }
}

#[actix_rt::test]
async fn a_cloud_on_mysql_keeps_its_web_data_there_over_a_kill_and_shows_no_password() {
    let Some(database) = OwnDatabase::make() else { return };
    let mut cloud = TestCloud::builder().set("web_store.url", database.url()).start();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    let home = TestHome::connect(&cloud, "home-1", &key);
    home.sample(now_ms(), 100.0, 0.0, 1.0);
    until("the reading is acknowledged", || home.hem.counters().acknowledged == 1).await;

    cloud.kill();
    cloud.launch();
    let found = Caller::admin(&cloud).get("/api/v1/hems/home-1").await;
    assert_eq!(found.status, 200, "{}", found.text);
    assert_eq!(found.json()["microgrid"], "valley", "{}", found.text);
    let ready = Caller::admin(&cloud).get("/health/ready").await;
    assert_eq!(ready.status, 200, "{}", ready.text);

    assert!(!cloud.folder().join("data/web.db").exists());
    let log = cloud.log();
    assert!(log.contains("web store mysql://…@"), "{log}");
    assert!(!log.contains("hush"), "{log}");
}
