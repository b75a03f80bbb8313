//! Where the engines are: the bus, the web store and the telemetry; and whether together they make a cluster.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use memcloud_bus::rabbitmq;
use memcloud_store::registry::WebStoreAddress;
use serde::Deserialize;

use super::{Configuration, ConfigurationError, wrong};

const MONGODB: [&str; 2] = ["mongodb://", "mongodb+srv://"];

/// Where an engine is; see `config/default.toml`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Its URL. It may hold a password.
    pub url: String,
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engine").field("url", &without_password(&self.url)).finish()
    }
}

impl Configuration {
    pub(super) fn check_bus(&self) -> Result<(), ConfigurationError> {
        if self.bus_is_local() {
            return Ok(());
        }
        rabbitmq::check_address(&self.bus.url).map_err(|error| {
            wrong("bus.url", format!("{error}; or \"local:\" for a bus within the process"))
        })
    }

    /// Whether the bus is within the process, and not a broker's.
    #[must_use]
    pub fn bus_is_local(&self) -> bool {
        self.bus.url == "local:"
    }

    /// Whether the cloud may have several processes: everything that they share is a server.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        let is_shared = matches!(self.iot_place(), IotPlace::Mongo(_))
            && self.web_store_address().is_ok_and(|address| address.is_server());
        !self.bus_is_local() && is_shared
    }

    /// Where other processes reach this one's REST API, which listens there.
    ///
    /// # Errors
    /// [`ConfigurationError`] where it listens everywhere and no address was given.
    pub fn advertised(&self, listens: SocketAddr) -> Result<String, ConfigurationError> {
        let given = &self.http.advertise;
        if given.is_empty() && listens.ip().is_unspecified() {
            return Err(wrong(
                "http.advertise",
                format!(
                    "this process is one of a cluster and listens on {listens}, which is no address that others could use; say where they reach it, e.g. \"10.0.0.7:{}\"",
                    listens.port()
                ),
            ));
        }
        Ok(if given.is_empty() { listens.to_string() } else { given.clone() })
    }

    fn sqlite_path(&self, engine: &Engine) -> Result<PathBuf, String> {
        match engine.url.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(self.data.dir.join(path)),
            _ => Err(format!(
                "\"{}\" is no store of this version; write \"sqlite:FILE\"",
                without_password(&engine.url)
            )),
        }
    }

    pub(super) fn check_iot_store(&self) -> Result<(), ConfigurationError> {
        let url = &self.iot_store.url;
        let is_right = match MONGODB.iter().find_map(|scheme| url.strip_prefix(scheme)) {
            Some(hosts) => !hosts.is_empty(),
            None => self.sqlite_path(&self.iot_store).is_ok(),
        };
        if is_right {
            return Ok(());
        }
        Err(wrong(
            "iot_store.url",
            format!(
                "\"{}\" is no store of this version; write \"sqlite:FILE\" or \"mongodb://HOST/DATABASE\"",
                without_password(url)
            ),
        ))
    }

    /// Where the telemetry is.
    #[must_use]
    pub fn iot_place(&self) -> IotPlace {
        let url = &self.iot_store.url;
        if MONGODB.iter().any(|scheme| url.starts_with(scheme)) {
            return IotPlace::Mongo(url.clone());
        }
        let path = self.sqlite_path(&self.iot_store);
        IotPlace::File(path.unwrap_or_else(|_| self.data.dir.join("iot.db")))
    }

    /// Where the web data is.
    ///
    /// # Errors
    /// [`ConfigurationError`] where this program has no such store.
    pub fn web_store_address(&self) -> Result<WebStoreAddress, ConfigurationError> {
        WebStoreAddress::from_url(&self.web_store.url, &self.data.dir)
            .map_err(|error| wrong("web_store.url", error.to_string()))
    }
}

/// Where telemetry may be.
#[derive(Clone, PartialEq, Eq)]
pub enum IotPlace {
    /// In a SQLite file.
    File(PathBuf),
    /// In MongoDB, by its URL. It may hold a password: log it by `Display` alone, which leaves that out.
    Mongo(String),
}

impl fmt::Display for IotPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Mongo(url) => formatter.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for IotPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// A URL as it may be shown: what stands before the host, and options, may be secret.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, options) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    // The last `@`: a password that was not escaped may hold one, and a slash.
    let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(_, place)| ("…@", place));
    format!("{scheme}://{user}{place}{options}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;

    #[test]
    fn who_listens_everywhere_says_where_others_reach_it() {
        let everywhere = "0.0.0.0:8080".parse().unwrap();
        let silent = load(None, &[]).unwrap();
        let refused = silent.advertised(everywhere).unwrap_err().to_string();
        assert!(refused.contains("`http.advertise`"), "{refused}");
        assert_eq!(silent.advertised("10.0.0.7:80".parse().unwrap()).unwrap(), "10.0.0.7:80");
        let said = load(None, &[("MEMCLOUD_HTTP__ADVERTISE", "10.0.0.7:8080")]).unwrap();
        assert_eq!(said.advertised(everywhere).unwrap(), "10.0.0.7:8080");
        assert!(!said.is_cluster(), "its stores are its own");
    }

    #[test]
    fn a_password_in_an_address_is_never_shown() {
        let url = ("MEMCLOUD_WEB_STORE__URL", "mysql://anna:hush@db.example/memcloud");
        let shown = match load(None, &[url]) {
            Ok(configuration) => format!("{configuration} {configuration:?}"),
            // Where the program was built without MySQL.
            Err(error) => error,
        };
        assert!(shown.contains("@db.example/memcloud"), "{shown}");
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn a_bus_may_be_a_broker_and_its_password_is_never_shown() {
        let url = "amqp://cloud:secret@broker.example/town";
        let configuration = load(None, &[("MEMCLOUD_BUS__URL", url)]).unwrap();
        assert!(!configuration.bus_is_local());
        let shown = configuration.to_string();
        assert!(shown.contains("amqp://broker.example:5672/town"), "{shown}");
        let wrong = [("MEMCLOUD_BUS__URL", "amqp://cloud:secret@broker:port")];
        for text in [shown, load(None, &wrong).unwrap_err()] {
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn telemetry_is_in_a_file_or_in_mongodb_by_its_url_alone() {
        let placed = |url: &str| {
            load(None, &[("MEMCLOUD_DATA__DIR", "/data"), ("MEMCLOUD_IOT_STORE__URL", url)])
        };
        let file = placed("sqlite:telemetry.db").unwrap().iot_place();
        assert_eq!(file, IotPlace::File(PathBuf::from("/data/telemetry.db")));
        for url in ["mongodb://one,two/iot?replicaSet=rs0", "mongodb+srv://example.org/iot"] {
            assert_eq!(placed(url).unwrap().iot_place(), IotPlace::Mongo(url.to_owned()));
        }
        for url in ["mongodb://", "mongodb:iot", "postgres://me:secret@host/iot", "sqlite:"] {
            let error = placed(url).unwrap_err();
            assert!(
                error.contains("`iot_store.url`") && error.contains("mongodb://HOST"),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_never_shown() {
        for url in
            ["mongodb://me:se/cr@et@one,two/iot?authSource=x", "mongodb://me:se/cr@et@one,two/iot"]
        {
            let configuration = load(None, &[("MEMCLOUD_IOT_STORE__URL", url)]).unwrap();
            let shown = format!("{configuration} {configuration:?} {}", configuration.iot_place());
            assert!(shown.contains("mongodb://…@one,two/iot"), "{shown}");
            assert!(!shown.contains("se/cr") && !shown.contains("et@"), "{shown}");
        }
    }
}
