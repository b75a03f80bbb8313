//! A quantity over time, from roll-ups: of one node, or summed over all nodes of a kind in a microgrid.

use std::time::Duration;

use actix_web::{get, web};
use memcloud_domain::messages::{GetRoster, GetSeries, RosterHem, SeriesSubject};
use memcloud_domain::{NodeId, NodeKind, Quantity, Series, SeriesPoint, Timestamp};
use memcloud_registry::{GetMicrogrid, Hem, Microgrid};
use memcloud_rest::HistorySeries;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::parameters::Moment;
use crate::api::caller::{Authorised, Viewer};
use crate::api::error::{ApiError, ApiResult, ErrorCode};
use crate::api::extract::Query;
use crate::api::state::State;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_POINTS: usize = 500;
const MAX_POINTS: u64 = 5_000;

/// How many points a series may have.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
struct Points(usize);

impl TryFrom<u64> for Points {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, String> {
        match usize::try_from(value) {
            Ok(points) if (1..=MAX_POINTS).contains(&value) => Ok(Self(points)),
            _ => Err(format!("{value} is not from 1 to {MAX_POINTS}")),
        }
    }
}

/// What can be asked of a node.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum NodeQuantity {
    /// Active power, W.
    #[default]
    Watts,
    /// Voltage, V.
    Volts,
    /// Current, A.
    Amps,
    /// Reactive power, var.
    Vars,
    /// Frequency, Hz.
    Hertz,
    /// State of charge, 0 to 1.
    Soc,
    /// Energy taken from the home's bus, Wh per point.
    EnergyIn,
    /// Energy fed to the home's bus, Wh per point.
    EnergyOut,
}

impl From<NodeQuantity> for Quantity {
    fn from(quantity: NodeQuantity) -> Self {
        match quantity {
            NodeQuantity::Watts => Self::Watts,
            NodeQuantity::Volts => Self::Volts,
            NodeQuantity::Amps => Self::Amps,
            NodeQuantity::Vars => Self::Vars,
            NodeQuantity::Hertz => Self::Hertz,
            NodeQuantity::Soc => Self::Soc,
            NodeQuantity::EnergyIn => Self::EnergyIn,
            NodeQuantity::EnergyOut => Self::EnergyOut,
        }
    }
}

/// Which series of a HEM.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HemHistoryQuery {
    /// Of which node.
    #[param(value_type = u8, minimum = 0, maximum = 255)]
    node: u8,
    /// Which quantity.
    #[serde(default)]
    #[param(inline, required = false)]
    quantity: NodeQuantity,
    /// From this moment on; a day before `to` if absent.
    #[param(value_type = String, format = DateTime, required = false)]
    from: Option<Moment>,
    /// Before this moment; now if absent.
    #[param(value_type = String, format = DateTime, required = false)]
    to: Option<Moment>,
    /// At most so many points.
    #[param(value_type = u16, minimum = 1, maximum = 5000, default = 500, required = false)]
    points: Option<Points>,
}

/// The history of a node
///
/// From roll-ups: each point has the least, mean and greatest value of its span. Spans without a
/// sample are left out.
#[utoipa::path(operation_id = "get_hem_history", tag = "Data", params(HemHistoryQuery), responses((status = 200, body = HistorySeries, description = "The series.")))]
#[get("/hems/{hem}/history")]
pub(super) async fn of_hem(
    hem: Authorised<Hem, Viewer>,
    state: web::Data<State>,
    query: Query<HemHistoryQuery>,
) -> ApiResult<web::Json<HistorySeries>> {
    let Query(query) = query;
    let (from, to) = span(&state, query.from, query.to)?;
    let microgrid = state.registrar.ask(GetMicrogrid { id: hem.microgrid.clone() }).await?;
    let series = state
        .historian
        .ask(GetSeries {
            subject: SeriesSubject::Node(hem.id.clone(), NodeId(query.node)),
            quantity: query.quantity.into(),
            from,
            to,
            points: query.points.map_or(DEFAULT_POINTS, |points| points.0),
            time_zone: microgrid.time_zone,
        })
        .await?;
    Ok(web::Json(series.into()))
}

/// Of which nodes of a microgrid the sum is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Of {
    /// Loads and chargers; positive.
    #[default]
    Consumption,
    /// Sources; positive.
    Generation,
    /// Batteries; positive while they charge.
    Storage,
    /// Grid nodes; positive while the microgrid imports, negative while it exports.
    Import,
}

impl Of {
    fn takes(self, kind: NodeKind) -> bool {
        match self {
            Self::Consumption => matches!(kind, NodeKind::Load | NodeKind::Charger),
            Self::Generation => kind == NodeKind::Source,
            Self::Storage => kind == NodeKind::Storage,
            Self::Import => kind == NodeKind::Grid,
        }
    }

    /// Whether its power is counted against the sign at the nodes, which is positive for what takes
    /// from the home's bus.
    fn is_reversed(self) -> bool {
        matches!(self, Self::Generation | Self::Import)
    }
}

/// What can be summed over nodes.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SumQuantity {
    /// Active power, W.
    #[default]
    Watts,
    /// Energy taken from the homes' buses, Wh per point.
    EnergyIn,
    /// Energy fed to the homes' buses, Wh per point.
    EnergyOut,
}

/// Which series of a microgrid.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct MicrogridHistoryQuery {
    /// Of which nodes the sum is taken.
    #[serde(default)]
    #[param(inline, required = false)]
    of: Of,
    /// Which quantity.
    #[serde(default)]
    #[param(inline, required = false)]
    quantity: SumQuantity,
    /// From this moment on; a day before `to` if absent.
    #[param(value_type = String, format = DateTime, required = false)]
    from: Option<Moment>,
    /// Before this moment; now if absent.
    #[param(value_type = String, format = DateTime, required = false)]
    to: Option<Moment>,
    /// At most so many points.
    #[param(value_type = u16, minimum = 1, maximum = 5000, default = 500, required = false)]
    points: Option<Points>,
}

/// The history of a microgrid
///
/// The sum over all nodes of a kind, from roll-ups.
#[utoipa::path(operation_id = "get_microgrid_history", tag = "Data", params(MicrogridHistoryQuery), responses((status = 200, body = HistorySeries, description = "The series.")))]
#[get("/microgrids/{microgrid}/history")]
pub(super) async fn of_microgrid(
    microgrid: Authorised<Microgrid, Viewer>,
    state: web::Data<State>,
    query: Query<MicrogridHistoryQuery>,
) -> ApiResult<web::Json<HistorySeries>> {
    let Query(query) = query;
    let (from, to) = span(&state, query.from, query.to)?;
    let roster = state
        .registrar
        .ask(GetRoster { microgrid: microgrid.id.clone() })
        .await?
        .ok_or_else(|| ApiError::not_found("microgrid", microgrid.id.as_str()))?;
    let mut nodes = Vec::new();
    for RosterHem { hem, nodes: declarations, .. } in roster.hems {
        for declaration in declarations.iter().filter(|node| query.of.takes(node.kind)) {
            nodes.push((hem.clone(), declaration.node));
        }
    }
    let (quantity, is_reversed) = match query.quantity {
        SumQuantity::Watts => (Quantity::Watts, query.of.is_reversed()),
        SumQuantity::EnergyIn => (Quantity::EnergyIn, false),
        SumQuantity::EnergyOut => (Quantity::EnergyOut, false),
    };
    let mut series = state
        .historian
        .ask(GetSeries {
            subject: SeriesSubject::Sum(nodes),
            quantity,
            from,
            to,
            points: query.points.map_or(DEFAULT_POINTS, |points| points.0),
            time_zone: roster.profile.time_zone,
        })
        .await?;
    if is_reversed {
        reverse(&mut series);
    }
    Ok(web::Json(series.into()))
}

/// Counts a power the other way: the least becomes the greatest.
fn reverse(series: &mut Series) {
    for point in &mut series.points {
        // Adding zero turns a negative zero into a plain one.
        *point = SeriesPoint {
            min: -point.max + 0.0,
            mean: -point.mean + 0.0,
            max: -point.min + 0.0,
            ..*point
        };
    }
}

fn span(
    state: &State,
    from: Option<Moment>,
    to: Option<Moment>,
) -> ApiResult<(Timestamp, Timestamp)> {
    let to = to.map_or_else(|| Timestamp(state.clock.unix_ms()), |moment| moment.0);
    let from = from.map_or_else(|| to.minus(DAY), |moment| moment.0);
    if from < to {
        return Ok((from, to));
    }
    Err(ApiError::new(
        ErrorCode::InvalidValue,
        format!("from: {from} does not lie before to, {to}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_and_import_are_shown_as_positive() {
        assert!(Of::Generation.is_reversed() && Of::Import.is_reversed());
        assert!(!Of::Consumption.is_reversed() && !Of::Storage.is_reversed());
        let point =
            SeriesPoint { ts: Timestamp(0), min: -3.0, mean: -2.0, max: 0.0, estimated: false };
        let mut series = Series {
            points: vec![point],
            unit: "W".to_owned(),
            resolution: memcloud_domain::Resolution::Minute,
            step_seconds: 60,
        };
        reverse(&mut series);
        let shown = series.points[0];
        assert_eq!((shown.min, shown.mean, shown.max), (0.0, 2.0, 3.0));
        assert!(shown.min.is_sign_positive());
    }

    #[test]
    fn every_kind_of_node_is_in_exactly_one_sum() {
        for kind in
            [NodeKind::Grid, NodeKind::Source, NodeKind::Storage, NodeKind::Load, NodeKind::Charger]
        {
            let sums = [Of::Consumption, Of::Generation, Of::Storage, Of::Import];
            assert_eq!(sums.into_iter().filter(|of| of.takes(kind)).count(), 1, "{kind:?}");
        }
    }
}
