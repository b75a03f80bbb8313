//! What only a server does: it lets in or not, dead-locks, is away, comes back.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{Connection, MysqlConnection, RunQueryDsl};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::fixture::{mysql, server_url};
use super::*;

#[test]
fn every_table_compares_text_byte_by_byte_whatever_the_database_does() {
    let Some(registry) = mysql() else { return };
    let other_tables: i64 = registry
        .read(|connection| {
            let count = diesel::dsl::sql::<BigInt>(
                "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()
                 AND table_name NOT LIKE '\\_\\_diesel%'
                 AND (table_collation <> 'utf8mb4_bin' OR engine <> 'InnoDB')",
            );
            Ok(count.get_result(connection)?)
        })
        .unwrap();
    assert_eq!(other_tables, 0);
}

#[test]
fn what_does_not_fit_is_an_error_and_not_cut() {
    let Some(registry) = mysql() else { return };
    let registry = registry.with_microgrid("fontana");
    let long = "x".repeat(64);
    let cut = registry.write(|connection| {
        let rename = format!("UPDATE microgrid SET id = '{long}'");
        Ok(diesel::sql_query(rename).execute(connection)?)
    });
    assert!(matches!(cut, Err(RegistryError::Unavailable { .. })), "{cut:?}");
    assert!(registry.microgrid(&microgrid_id("fontana")).is_ok());
}

#[test]
fn whoever_is_not_let_in_is_told_what_to_do_and_sees_no_password() {
    let Some(server) = server_url() else { return };
    let host = server.rsplit('@').next().unwrap().trim_start_matches("mysql://");
    let data = std::path::Path::new(".");
    let open = |url: String| {
        let address = WebStoreAddress::from_url(&url, data).unwrap();
        SqlRegistry::open_at(&address).unwrap_err().to_string()
    };
    let denied = open(format!("mysql://nobody:hush@{host}/memcloud"));
    assert!(denied.contains("Access denied"), "{denied}");
    assert!(denied.contains("check user and password"), "{denied}");
    assert!(!denied.contains("hush"), "{denied}");
    let unknown = open(format!("{server}/no_such_database"));
    assert!(unknown.contains("make it: CREATE DATABASE `no_such_database`"), "{unknown}");
    let nobody_there = open("mysql://anna:hush@127.0.0.1:1/memcloud".to_owned());
    assert!(nobody_there.contains("mysql://anna:***@127.0.0.1:1/memcloud"), "{nobody_there}");
}

#[test]
fn transactions_that_lock_each_other_are_done_again() {
    let Some(registry) = mysql() else { return };
    let registry = registry.with_microgrid("one").with_microgrid("two");
    let both_have_the_first = Barrier::new(2);
    let rename = |first: &str, second: &str| {
        let mut is_first_try = true;
        let name =
            |name: &str| MicrogridChange { name: Some(name.to_owned()), ..Default::default() };
        registry
            .write(|connection| {
                super::super::microgrid::update(connection, &microgrid_id(first), &name(second))?;
                if std::mem::take(&mut is_first_try) {
                    both_have_the_first.wait();
                }
                super::super::microgrid::update(connection, &microgrid_id(second), &name(second))
            })
            .unwrap();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| rename("one", "two"));
        scope.spawn(|| rename("two", "one"));
    });
    let names: Vec<_> = registry
        .microgrids(&PageRequest::first(9))
        .unwrap()
        .items
        .into_iter()
        .map(|microgrid| microgrid.name)
        .collect();
    assert!(names == ["one", "one"] || names == ["two", "two"], "{names:?}");
}

/// The way to the server, which can be cut. The server behind it is the real one.
struct Way {
    address: SocketAddr,
    state: Arc<Mutex<WayState>>,
}

#[derive(Default)]
struct WayState {
    mode: Mode,
    streams: Vec<TcpStream>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    #[default]
    Open,
    /// Who connects is turned away.
    Shut,
    /// Who connects hears nothing.
    Silent,
}

impl Way {
    fn to(server: &str) -> Self {
        let host = server.rsplit('@').next().unwrap().trim_start_matches("mysql://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(WayState::default()));
        let way = Self { address, state: Arc::clone(&state) };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let mut state = state.lock().unwrap();
                match state.mode {
                    Mode::Shut => {}
                    Mode::Silent => state.streams.push(client),
                    Mode::Open => {
                        let server = TcpStream::connect(&host).unwrap();
                        for (from, to) in [(&client, &server), (&server, &client)] {
                            let mut from = from.try_clone().unwrap();
                            let mut to = to.try_clone().unwrap();
                            std::thread::spawn(move || {
                                let _ = std::io::copy(&mut from, &mut to);
                                let _ = to.shutdown(Shutdown::Both);
                            });
                        }
                        state.streams.push(client);
                    }
                }
            }
        });
        way
    }

    /// Cuts what is connected, and turns away, or not, who connects from now on.
    fn cut(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap();
        state.mode = mode;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A registry that reaches its database by a way that can be cut.
fn by_a_way() -> Option<(Fixture, SqlRegistry, Way)> {
    let server = server_url()?;
    let fixture = mysql()?.with_microgrid("fontana");
    let way = Way::to(&server);
    let credentials =
        server.rsplit_once('@').map_or("mysql://root", |(credentials, _)| credentials);
    let fixture::Database::Server(database) = &fixture.database else { return None };
    let address = database.address_on(&format!("{credentials}@{}", way.address));
    let registry = SqlRegistry::open_at(&address).unwrap();
    Some((fixture, registry, way))
}

#[test]
fn a_connection_that_was_lost_while_nobody_used_it_is_not_noticed() {
    let Some((_fixture, registry, way)) = by_a_way() else { return };
    registry.check().unwrap();
    way.cut(Mode::Open);
    registry.microgrid(&microgrid_id("fontana")).unwrap();
    registry.create_microgrid(&a_microgrid("soledad")).unwrap();
}

#[test]
fn a_server_that_is_away_is_said_and_works_again_when_it_is_back() {
    let Some((_fixture, registry, way)) = by_a_way() else { return };
    way.cut(Mode::Shut);
    for _ in 0..20 {
        let error = registry.create_microgrid(&a_microgrid("soledad")).unwrap_err();
        assert!(matches!(error, RegistryError::Unavailable { .. }), "{error}");
        assert!(error.to_string().starts_with("the web store is away: mysql://"), "{error}");
        assert!(registry.microgrid(&microgrid_id("fontana")).is_err());
    }
    way.cut(Mode::Open);
    registry.create_microgrid(&a_microgrid("soledad")).unwrap();
    registry.check().unwrap();
}

#[test]
fn a_server_that_is_lost_in_a_transaction_has_written_nothing() {
    let Some((fixture, registry, way)) = by_a_way() else { return };
    let lost = registry.write(|connection| {
        super::super::microgrid::insert(connection, &a_microgrid("soledad"))?;
        way.cut(Mode::Open);
        super::super::microgrid::insert(connection, &a_microgrid("tinsley"))
    });
    assert!(matches!(lost, Err(RegistryError::Unavailable { .. })), "{lost:?}");
    let left = fixture.microgrids(&PageRequest::first(9)).unwrap().items.len();
    assert_eq!(left, 1);
    registry.create_microgrid(&a_microgrid("soledad")).unwrap();
}

#[test]
fn a_server_that_says_nothing_keeps_nobody_who_connects_waiting_for_ever() {
    let Some((_fixture, registry, way)) = by_a_way() else { return };
    way.cut(Mode::Silent);
    let error = registry.create_microgrid(&a_microgrid("soledad")).unwrap_err();
    assert!(error.to_string().ends_with("it did not answer in 5s"), "{error}");
    way.cut(Mode::Open);
    registry.create_microgrid(&a_microgrid("soledad")).unwrap();
}

#[test]
fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let Some(registry) = mysql() else { return };
    let slow = registry.read(|connection| {
        Ok(diesel::sql_query("SET STATEMENT max_statement_time = 0.05 FOR SELECT SLEEP(60)")
            .execute(connection)?)
    });
    assert!(matches!(slow, Err(RegistryError::Unavailable { .. })), "{slow:?}");
    registry.check().unwrap();
    let bound: f64 = registry
        .read(|connection| {
            let bound = diesel::dsl::sql::<diesel::sql_types::Double>(
                "SELECT CAST(@@max_statement_time AS DOUBLE)",
            );
            Ok(bound.get_result(connection)?)
        })
        .unwrap();
    assert!((bound - Duration::from_secs(10).as_secs_f64()).abs() < 0.1, "{bound}");
}

/// A server process of our own, which can be stopped, killed and started.
struct OwnServer {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl OwnServer {
    /// Where a server can be started, and servers are wanted.
    fn start() -> Option<Self> {
        server_url()?;
        let folder = tempfile::tempdir().unwrap();
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .arg("--skip-test-db")
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if installed.is_err() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "there is no mariadb-install-db");
            println!("left out: there is no mariadb-install-db");
            return None;
        }
        assert!(installed.unwrap().success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, port, process: None };
        server.run();
        Some(server)
    }

    fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    fn run(&mut self) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let process = Command::new("mariadbd")
            .arg("--no-defaults")
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--user=root", "--innodb-buffer-pool-size=16M"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        until("the server lets us in", || MysqlConnection::establish(&self.url()).is_ok());
    }

    fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().unwrap().id();
        nix::sys::signal::kill(Pid::from_raw(i32::try_from(process).unwrap()), signal).unwrap();
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Waits until something is so; says what, when it is not within a minute.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("in a minute it is not so that {what}");
}

#[test]
fn what_was_written_outlives_a_kill_of_the_server_and_the_next_call_after_it_is_back_works() {
    let Some(mut server) = OwnServer::start() else { return };
    // Its database goes with its folder.
    let database = std::mem::ManuallyDrop::new(fixture::ServerDatabase::on(&server.url()));
    let registry = SqlRegistry::open_at(&database.address()).unwrap();
    registry.create_microgrid(&a_microgrid("before")).unwrap();
    registry.microgrid(&microgrid_id("before")).unwrap();

    server.kill();
    let error = registry.create_microgrid(&a_microgrid("meanwhile")).unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable { .. }), "{error}");
    server.run();
    registry.create_microgrid(&a_microgrid("after")).unwrap();
    let kept = registry.microgrids(&PageRequest::first(9)).unwrap().items;
    let kept: Vec<_> = kept.iter().map(|microgrid| microgrid.id.as_str()).collect();
    assert_eq!(kept, ["after", "before"]);

    // One that is stopped says nothing at all, and breaks no connection either.
    server.signal(Signal::SIGSTOP);
    let error = registry.check().unwrap_err().to_string();
    assert!(error.starts_with("the web store is away: it has fallen silent: "), "{error}");
    server.signal(Signal::SIGCONT);
    until("it is well again", || registry.check().is_ok());
    registry.create_microgrid(&a_microgrid("last")).unwrap();
}
