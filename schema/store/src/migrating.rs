//! Bringing a database up to date, by migrations that are compiled in.
//!
//! A migration that was released is never changed. A new one expands first: it adds what the new program
//! needs and takes away nothing that the program before it uses, so that both run on it; what nobody uses
//! any more goes in a later release. A database that is ahead of the program is refused.

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use crate::StoreError;

/// Runs the migrations that the database lacks. The caller sees to it that it is alone.
///
/// # Errors
/// [`StoreError::Migration`] when one fails, or the database is ahead of this program.
pub(crate) fn bring_up_to_date<Dialect, Connection>(
    connection: &mut Connection,
    migrations: EmbeddedMigrations,
    place: &str,
) -> Result<(), StoreError>
where
    Dialect: Backend,
    Connection: MigrationHarness<Dialect>,
{
    let failed = |reason: String| StoreError::Migration { path: place.to_owned(), reason };
    let embedded: Vec<Box<dyn Migration<Dialect>>> =
        migrations.migrations().map_err(|error| failed(error.to_string()))?;
    let applied = connection.applied_migrations().map_err(|error| failed(error.to_string()))?;
    let is_unknown = |version: &MigrationVersion<'_>| {
        embedded.iter().all(|migration| migration.name().version() != *version)
    };
    if let Some(unknown) = applied.into_iter().find(is_unknown) {
        return Err(failed(format!(
            "it has the change {unknown}, which this program does not know: a newer memcloud has \
             used it; run that version or a later one"
        )));
    }
    connection
        .run_pending_migrations(migrations)
        .map(|_| ())
        .map_err(|error| failed(error.to_string()))
}
