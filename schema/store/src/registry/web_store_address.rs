//! Where the web data is, as the configuration says it. A password in it is for the server alone: it is
//! in no text that this module makes.

use std::fmt;
use std::path::Path;

use crate::sqlite::Location;

/// Where the web data is: a SQLite file, or a database on a MySQL or MariaDB server.
#[derive(Clone, PartialEq, Eq)]
pub struct WebStoreAddress(pub(super) Place);

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    Sqlite(Location),
    #[cfg(feature = "mysql")]
    Mysql(MysqlAddress),
}

/// Why a text is no address of a web store. It shows no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{url}\" {reason}")]
pub struct InvalidAddress {
    url: String,
    reason: &'static str,
}

impl WebStoreAddress {
    /// Reads `sqlite:FILE`, which lies in the data folder where it is relative, or
    /// `mysql://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// # Errors
    /// [`InvalidAddress`], which says what to write, or how to build a program that can use it.
    pub fn from_url(url: &str, data_dir: &Path) -> Result<Self, InvalidAddress> {
        let invalid = |reason| InvalidAddress { url: without_password(url), reason };
        if let Some(rest) = url.strip_prefix("mysql://") {
            check_mysql(rest).map_err(invalid)?;
            return mysql(url).map_err(invalid);
        }
        match Location::from_url(url, data_dir) {
            Ok(location) => Ok(Self(Place::Sqlite(location))),
            Err(_) => Err(invalid(
                "is no web store; write sqlite:FILE or mysql://USER:PASSWORD@HOST:PORT/DATABASE",
            )),
        }
    }
}

impl WebStoreAddress {
    /// Whether it is a server, which several processes may share.
    #[must_use]
    pub fn is_server(&self) -> bool {
        !matches!(self.0, Place::Sqlite(_))
    }
}

impl From<Location> for WebStoreAddress {
    fn from(location: Location) -> Self {
        Self(Place::Sqlite(location))
    }
}

impl fmt::Display for WebStoreAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(location) => location.fmt(formatter),
            #[cfg(feature = "mysql")]
            Place::Mysql(address) => address.fmt(formatter),
        }
    }
}

impl fmt::Debug for WebStoreAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "WebStoreAddress({self})")
    }
}

/// The address of a database on a server, with the password.
#[cfg(feature = "mysql")]
#[derive(Clone, PartialEq, Eq)]
pub(super) struct MysqlAddress(String);

#[cfg(feature = "mysql")]
impl MysqlAddress {
    /// As the server is dialled with: the one text that has the password.
    pub(super) fn secret_url(&self) -> &str {
        &self.0
    }

    /// The port that is dialled.
    pub(super) fn port(&self) -> u16 {
        const USUAL: u16 = 3306;
        let host = self.0.rsplit('@').next().unwrap_or_default();
        let host = host.strip_prefix("mysql://").unwrap_or(host);
        let host = host.split('/').next().unwrap_or_default();
        host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(USUAL)
    }

    /// The database on that server.
    pub(super) fn database(&self) -> &str {
        let path = self.0.split(['?', '#']).next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

#[cfg(feature = "mysql")]
impl fmt::Display for MysqlAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&without_password(&self.0))
    }
}

#[cfg(feature = "mysql")]
fn mysql(url: &str) -> Result<WebStoreAddress, &'static str> {
    Ok(WebStoreAddress(Place::Mysql(MysqlAddress(url.to_owned()))))
}

#[cfg(not(feature = "mysql"))]
fn mysql(_: &str) -> Result<WebStoreAddress, &'static str> {
    Err("needs MySQL, which this memcloud was built without; build with --features mysql")
}

/// What follows `mysql://`.
fn check_mysql(rest: &str) -> Result<(), &'static str> {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let Some((authority, database)) = path.split_once('/') else {
        return Err("names no database; write mysql://USER:PASSWORD@HOST:PORT/DATABASE");
    };
    if rest.contains('@') && !authority.contains('@') || authority.matches('@').count() > 1 {
        return Err("has a / ? # or @ in its user or password; write it as %2F %3F %23 or %40");
    }
    if authority.rsplit('@').next().is_none_or(|host| host.is_empty() || host.starts_with(':')) {
        return Err("names no host; write mysql://USER:PASSWORD@HOST:PORT/DATABASE");
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if database.is_empty() || database.len() > 64 || !database.chars().all(is_plain) {
        return Err("names no database of letters, digits, _ and - behind its host");
    }
    Ok(())
}

/// An address for people: with `***` for its password.
#[must_use]
pub fn without_password(url: &str) -> String {
    // A password that was not escaped may hold any sign: the last @ ends it.
    let Some((credentials, host)) = url.rsplit_once('@') else { return url.to_owned() };
    let (scheme, credentials) = match credentials.split_once("://") {
        Some((scheme, credentials)) => (format!("{scheme}://"), credentials),
        None => (String::new(), credentials),
    };
    match credentials.split_once(':') {
        Some((user, _)) => format!("{scheme}{user}:***@{host}"),
        None => format!("{scheme}{credentials}@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(url: &str) -> String {
        WebStoreAddress::from_url(url, Path::new("data")).unwrap_err().to_string()
    }

    #[test]
    fn a_password_is_in_no_text_however_it_is_written() {
        for url in [
            "mysql://anna:hush@db.example:3306/memcloud",
            "mysql://anna:hush/hush@db.example/memcloud",
            "mysql://anna:hush@hush?hush#hush@db.example/memcloud",
            "mysql://anna:hush@db.example",
            "mysql:anna:hush@db.example/memcloud",
            "anna:hush@db.example",
        ] {
            assert!(!without_password(url).contains("hush"), "{}", without_password(url));
            let text = match WebStoreAddress::from_url(url, Path::new("data")) {
                Ok(address) => format!("{address} {address:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!text.contains("hush"), "{text}");
        }
        assert_eq!(without_password("mysql://u:p@h:1/d?x=y"), "mysql://u:***@h:1/d?x=y");
        assert_eq!(without_password("mysql://u@h/d"), "mysql://u@h/d");
        assert_eq!(without_password("sqlite:web.db"), "sqlite:web.db");
    }

    #[test]
    fn an_address_that_cannot_be_says_what_to_write() {
        assert!(reason("postgres://h/d").ends_with(
            "is no web store; write sqlite:FILE or mysql://USER:PASSWORD@HOST:PORT/DATABASE"
        ));
        assert!(reason("sqlite:").contains("is no web store"));
        assert!(reason("mysql://u:p@h").contains("names no database"));
        assert!(reason("mysql://u:p@h/").contains("names no database"));
        assert!(reason("mysql://u:p@:3306/d").contains("names no host"));
        assert!(reason("mysql://u:p/q@h/d").contains("%2F"));
        assert!(reason("mysql://u:p@q@h/d").contains("%40"));
    }

    #[cfg(not(feature = "mysql"))]
    #[test]
    fn a_program_without_mysql_says_how_to_build_one_with_it() {
        assert_eq!(
            reason("mysql://u:p@h/d"),
            "\"mysql://u:***@h/d\" needs MySQL, which this memcloud was built without; build with \
             --features mysql"
        );
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn the_port_and_the_database_are_read_from_an_address() {
        for (url, port, database) in [
            ("mysql://u:p@h:3307/one", 3307, "one"),
            ("mysql://h:3308/two?ssl_ca=/etc/x", 3308, "two"),
            ("mysql://u@h/three", 3306, "three"),
            ("mysql://u@[::1]:3309/four", 3309, "four"),
            ("mysql://u@[fe80::1]/five", 3306, "five"),
        ] {
            let address = MysqlAddress(url.to_owned());
            assert_eq!((address.port(), address.database()), (port, database), "{url}");
        }
    }
}
