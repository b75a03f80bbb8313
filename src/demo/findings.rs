//! What a job has found out, in one sentence.

use std::collections::BTreeMap;

use memcloud_domain::JobResult;
use serde_json::Value;

/// Which results say most of an app: their kind, and their subject if only one counts.
pub(super) fn wanted(app: &str) -> (Option<&'static str>, Option<&'static str>) {
    match app {
        "energy-accounting" => (Some("energy-day"), Some("microgrid")),
        "limit-watch" => (Some("limit-alarm"), Some("microgrid")),
        "self-consumption" => (Some("self-consumption-day"), None),
        "peak-shaving" => (Some("peak-day"), Some("microgrid")),
        "schedule" => (Some("switching"), None),
        _ => (None, None),
    }
}

/// A job's newest results, oldest first, as one sentence, and whether that is something to worry about.
pub(super) fn sentence(results: &[JobResult]) -> (String, bool) {
    let Some(newest) = results.last() else { return (String::new(), false) };
    let kilo = |key: &str| number(newest, key).map(|value| value / 1_000.0);
    match newest.kind.as_str() {
        "energy-day" => {
            let used = kilo("consumption_wh").unwrap_or_default();
            let made = kilo("generation_wh").unwrap_or_default();
            let own = number(newest, "self_sufficiency")
                .map(|share| format!(", {:.0} % self-sufficient", share * 100.0))
                .unwrap_or_default();
            (format!("today {used:.1} kWh used, {made:.1} kWh made{own}"), false)
        }
        "limit-alarm" => {
            let limit = kilo("limit_watts").unwrap_or_default();
            let peak = kilo("peak_watts").unwrap_or_default();
            let has_ended = newest.body.get("ended").and_then(Value::as_bool) == Some(true);
            if has_ended {
                (format!("quiet; the last alarm peaked at {peak:.1} kW"), false)
            } else {
                (format!("import over {limit:.1} kW, peak {peak:.1} kW"), true)
            }
        }
        "self-consumption-day" => {
            let homes = newest_of_each(results);
            let sum = |key: &str| {
                homes.iter().filter_map(|result| number(result, key)).sum::<f64>() / 1_000.0
            };
            let (stored, given) = (sum("charged_wh"), sum("discharged_wh"));
            let count = homes.len();
            (
                format!("today {stored:.1} kWh stored and {given:.1} kWh given in {count} homes"),
                false,
            )
        }
        "peak-day" => {
            let limit = kilo("limit_watts")
                .map_or_else(|| "no limit".to_owned(), |limit| format!("limit {limit:.1} kW"));
            let peak = kilo("peak_import_watts").unwrap_or_default().max(0.0);
            let without = kilo("without_control_watts").unwrap_or_default().max(0.0);
            (format!("{limit}; peak {peak:.1} kW, without batteries {without:.1} kW"), false)
        }
        "switching" => {
            let (home, node) = newest.subject.split_once('/').unwrap_or((&newest.subject, "?"));
            let is_on = newest.body.get("on").and_then(Value::as_bool) == Some(true);
            let seen = number(newest, "after_seconds").map_or_else(
                || "not seen yet".to_owned(),
                |after| format!("seen after {after:.0} s"),
            );
            (format!("{home} node {node} {}, {seen}", if is_on { "on" } else { "off" }), false)
        }
        other => (other.to_owned(), false),
    }
}

fn number(result: &JobResult, key: &str) -> Option<f64> {
    result.body.get(key).and_then(Value::as_f64)
}

/// The newest result of each subject since the newest of all began.
fn newest_of_each(results: &[JobResult]) -> Vec<&JobResult> {
    let today = results.iter().map(|result| result.from).max();
    let of_today = results.iter().filter(|result| Some(result.from) == today);
    let newest: BTreeMap<&str, &JobResult> =
        of_today.map(|result| (result.subject.as_str(), result)).collect();
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use memcloud_domain::Timestamp;
    use serde_json::json;

    use super::*;

    fn result(kind: &str, subject: &str, day: i64, body: Value) -> JobResult {
        JobResult {
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            from: Timestamp(day),
            to: Timestamp(day + 10),
            body,
        }
    }

    #[test]
    fn each_app_of_the_demo_says_what_it_found_out() {
        let body = json!({"consumption_wh": 28_200.0, "generation_wh": 18_400.0, "self_sufficiency": 0.27});
        let said = sentence(&[result("energy-day", "microgrid", 0, body)]);
        assert_eq!(
            said,
            ("today 28.2 kWh used, 18.4 kWh made, 27 % self-sufficient".to_owned(), false)
        );
        let body = json!({"limit_watts": 10_000.0, "peak_watts": 11_200.0, "ended": false});
        let said = sentence(&[result("limit-alarm", "microgrid", 0, body)]);
        assert_eq!(said, ("import over 10.0 kW, peak 11.2 kW".to_owned(), true));
        let body = json!({"limit_watts": 3_500.0, "peak_import_watts": 3_380.0, "without_control_watts": 6_900.0});
        let said = sentence(&[result("peak-day", "microgrid", 0, body)]);
        assert_eq!(said.0, "limit 3.5 kW; peak 3.4 kW, without batteries 6.9 kW");
        let said = |body| sentence(&[result("switching", "home-3/5", 0, body)]).0;
        assert_eq!(
            said(json!({"on": false, "after_seconds": 2.0})),
            "home-3 node 5 off, seen after 2 s"
        );
        assert_eq!(
            said(json!({"on": true, "after_seconds": null})),
            "home-3 node 5 on, not seen yet"
        );
        assert_eq!(sentence(&[]), (String::new(), false));
    }

    #[test]
    fn what_homes_stored_is_summed_over_the_newest_of_today() {
        let day = |hem: &str, day: i64, stored: f64| {
            let body = json!({"charged_wh": stored, "discharged_wh": 500.0});
            result("self-consumption-day", hem, day, body)
        };
        let results = [
            day("a", 0, 9_000.0),
            day("a", 86, 100.0),
            day("a", 86, 1_000.0),
            day("b", 86, 2_000.0),
        ];
        let said = sentence(&results);
        assert_eq!(said.0, "today 3.0 kWh stored and 1.0 kWh given in 2 homes");
    }
}
