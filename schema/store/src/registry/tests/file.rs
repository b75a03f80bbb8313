//! What only a SQLite file does: locks, a full disk, a log beside it.

use std::time::Duration;

use super::*;
use crate::sqlite::Location;

#[test]
fn a_file_that_is_not_a_database_is_an_error_and_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.db");
    std::fs::write(&path, "this is a letter to a friend, and no database at all").unwrap();
    assert!(SqlRegistry::open(&path).is_err());
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("this is a letter"));
}

#[test]
fn a_full_disk_is_said_and_recovered_from() {
    use diesel::connection::SimpleConnection;

    let registry = sqlite().with_microgrid("fontana");
    registry
        .write(|connection| {
            // As small as the file is now: the engine then says what it says of a full disk.
            connection.batch_execute("PRAGMA max_page_count = 1")?;
            Ok(())
        })
        .unwrap();
    let name = "x".repeat(100_000);
    let large = Microgrid { name, ..a_microgrid("large") };
    let error = registry.create_microgrid(&large).unwrap_err();
    assert_eq!(error.to_string(), "the web store is away: database or disk is full");
    assert!(registry.microgrid(&microgrid_id("fontana")).is_ok());
    // The next connection has no such bound: there is space again.
    registry.create_microgrid(&large).unwrap();
    assert_eq!(registry.microgrid(&large.id).unwrap(), large);
}

#[test]
fn a_database_that_another_holds_locked_is_said_and_works_again_afterwards() {
    let holder = sqlite().with_microgrid("fontana");
    let location = Location::new(holder.file());
    let registry = SqlRegistry::open_with(&location.into(), Duration::from_millis(20)).unwrap();
    holder
        .write(|_| {
            let error = registry.check().unwrap_err();
            assert_eq!(error.to_string(), "the web store is away: database is locked");
            registry.microgrid(&microgrid_id("fontana")).map(|_| ())
        })
        .unwrap();
    registry.check().unwrap();
    registry.create_microgrid(&a_microgrid("after")).unwrap();
}

#[test]
fn a_short_lock_of_another_is_waited_for() {
    let holder = sqlite().with_microgrid("fontana");
    let registry = holder.opened_again();
    std::thread::scope(|scope| {
        let (locked, is_locked) = std::sync::mpsc::channel();
        scope.spawn(move || {
            holder
                .write(|_| {
                    locked.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(50));
                    Ok(())
                })
                .unwrap();
            // The file stays until the other has written, too.
            holder
        });
        is_locked.recv().unwrap();
        registry.create_microgrid(&a_microgrid("after")).unwrap();
    });
}

#[test]
fn a_healthy_registry_says_so_and_one_in_memory_works() {
    sqlite().check().unwrap();
    let in_memory = SqlRegistry::open(":memory:").unwrap();
    in_memory.create_microgrid(&a_microgrid("fontana")).unwrap();
    in_memory.microgrid(&microgrid_id("fontana")).unwrap();
    in_memory.check().unwrap();
}

#[test]
fn the_log_is_carried_over_beside_whoever_writes() {
    let registry = sqlite().with_microgrid("fontana");
    let file = registry.file();
    let size = || std::fs::metadata(&file).unwrap().len();
    assert!(registry.carry_log_over().unwrap());
    let before = size();
    let name = "x".repeat(200_000);
    registry.create_microgrid(&Microgrid { name, ..a_microgrid("large") }).unwrap();
    assert_eq!(size(), before, "it lies in the log alone");
    registry
        .write(|connection| {
            super::super::microgrid::insert(connection, &a_microgrid("next"))?;
            assert!(registry.carry_log_over()?);
            Ok(())
        })
        .unwrap();
    assert!(size() >= before + 190_000, "{before} {}", size());
    assert!(registry.microgrid(&microgrid_id("next")).is_ok());
}
