//! What can be asked of lists and series, and how it is written into a query.

use chrono::{DateTime, SecondsFormat, Utc};
use memcloud_domain::{CommandState, HemId, MicrogridId, Quantity, Seq};

/// Which page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// At most so many items; the cloud takes 100 where it is absent.
    pub limit: Option<u16>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

/// Which readings or events of a HEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawQuery {
    /// From this time at the HEM on.
    pub from: Option<DateTime<Utc>>,
    /// Before this time at the HEM.
    pub to: Option<DateTime<Utc>>,
    /// Beyond this, in the order's direction.
    pub after: Option<After>,
    /// At most so many.
    pub limit: Option<u16>,
    /// The newest first.
    pub order: RawOrder,
}

/// Where a page of readings or events begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Behind a number.
    Seq(Seq),
    /// Where the page before ended: its `next`.
    Cursor(String),
}

/// Which end of the readings or events comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RawOrder {
    /// By rising number.
    #[default]
    Ascending,
    /// By falling number.
    Descending,
}

/// Which span of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesQuery {
    /// What is asked for; active power where it is absent.
    pub quantity: Option<Quantity>,
    /// From this time on; a day before `to` where it is absent.
    pub from: Option<DateTime<Utc>>,
    /// Before this time; now where it is absent.
    pub to: Option<DateTime<Utc>>,
    /// At most so many points.
    pub points: Option<u16>,
}

/// Which nodes of a microgrid a series sums up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesOf {
    /// Loads and chargers.
    Consumption,
    /// Sources.
    Generation,
    /// Batteries.
    Storage,
    /// The connection to the grid.
    Import,
}

/// Which results of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultsQuery {
    /// Whose span begins at or after this.
    pub from: Option<DateTime<Utc>>,
    /// Whose span begins before this.
    pub to: Option<DateTime<Utc>>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this HEM, or of `microgrid`.
    pub subject: Option<String>,
    /// Which page.
    pub page: PageQuery,
}

/// Which commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandsQuery {
    /// Of this HEM.
    pub hem: Option<HemId>,
    /// Of this microgrid.
    pub microgrid: Option<MicrogridId>,
    /// In this state.
    pub state: Option<CommandState>,
    /// Which page.
    pub page: PageQuery,
}

/// The parameters of a request.
#[derive(Default)]
pub(super) struct Parameters(pub(super) Vec<(&'static str, String)>);

impl Parameters {
    pub(super) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.0.push((name, value.to_string()));
        }
        self
    }

    fn time(self, name: &'static str, time: Option<DateTime<Utc>>) -> Self {
        self.with(name, time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)))
    }

    pub(super) fn page(self, page: &PageQuery) -> Self {
        self.with("limit", page.limit).with("after", page.after.as_ref())
    }
}

impl RawQuery {
    pub(super) fn parameters(&self) -> Parameters {
        let after = self.after.as_ref().map(|after| match after {
            After::Seq(seq) => seq.to_string(),
            After::Cursor(cursor) => cursor.clone(),
        });
        let order = match self.order {
            RawOrder::Ascending => None,
            RawOrder::Descending => Some("desc"),
        };
        Parameters::default()
            .time("from", self.from)
            .time("to", self.to)
            .with("after", after)
            .with("limit", self.limit)
            .with("order", order)
    }
}

impl SeriesQuery {
    pub(super) fn parameters(&self) -> Parameters {
        Parameters::default()
            .with("quantity", self.quantity)
            .time("from", self.from)
            .time("to", self.to)
            .with("points", self.points)
    }
}

impl ResultsQuery {
    pub(super) fn parameters(&self) -> Parameters {
        Parameters::default()
            .time("from", self.from)
            .time("to", self.to)
            .with("kind", self.kind.as_ref())
            .with("subject", self.subject.as_ref())
            .page(&self.page)
    }
}

impl CommandsQuery {
    pub(super) fn parameters(&self) -> Parameters {
        Parameters::default()
            .with("hem", self.hem.as_ref())
            .with("microgrid", self.microgrid.as_ref())
            .with("state", self.state.map(CommandState::as_str))
            .page(&self.page)
    }
}

impl SeriesOf {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Consumption => "consumption",
            Self::Generation => "generation",
            Self::Storage => "storage",
            Self::Import => "import",
        }
    }
}
