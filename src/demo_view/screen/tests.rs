//! What the screen shows, at all sizes.

use std::time::Duration;

use chrono::FixedOffset;
use memcloud_domain::{
    CommandId, CommandState, JobState, NodeId, PowerTotals, StateOfCharge, Timestamp, Watts,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::jobs::job_line;
use super::*;
use crate::demo_view::palette::{ALARM, BATTERY, EXPORT, GRID, SOLAR, USE};
use crate::demo_view::{Addresses, CommandLine, HomeWhy, IngestLine, JobLine, Message};

/// The same evening with jobs that steer.
fn steered() -> DemoSnapshot {
    let mut snapshot = evening();
    let job = |app: &str, latest: &str| JobLine {
        app: app.into(),
        state: JobState::Running,
        latest: latest.into(),
        alarm: false,
    };
    snapshot.jobs.push(job("self-consumption", "today 4.1 kWh stored, 3.2 kWh given"));
    snapshot.jobs.push(job("peak-shaving", "import held under 3.0 kW, peak 2.9 kW"));
    snapshot.homes[0].ordered = vec!["battery −1.05 kW".into()];
    snapshot.homes[1].ordered = vec!["battery −2.47 kW".into(), "water heater off".into()];
    snapshot.homes[3].ordered = vec!["charger ≤ 1.40 kW".into()];
    let command =
        |number: u64, home: &str, what: &str, state, by: &str, because: &str| CommandLine {
            id: CommandId::new(&format!("c-{number}")).unwrap(),
            at: snapshot.at.minus(Duration::from_secs(number * 7)),
            home: home.into(),
            what: what.into(),
            state,
            by: by.into(),
            because: because.into(),
        };
    snapshot.commands = vec![
        command(
            1,
            "home-1",
            "battery −1.05 kW",
            CommandState::Sent,
            "the job self-consumption",
            "covers the home's demand of 1054 W",
        ),
        command(
            2,
            "home-2",
            "water heater off",
            CommandState::Effective,
            "the job peak-shaving",
            "the import would be 3.4 kW of 3.0 kW",
        ),
        command(
            3,
            "home-4",
            "charger ≤ 1.40 kW",
            CommandState::Ineffective,
            "anna",
            "it still drew 2.1 kW",
        ),
        command(
            4,
            "home-2",
            "battery −2.47 kW",
            CommandState::Effective,
            "the job self-consumption",
            "",
        ),
    ];
    snapshot.why = Some(HomeWhy {
        home: "home-1".into(),
        sentences: vec![
            "The home battery gives 1.05 kW: the job self-consumption covers the home's demand of 1054 W; the job peak-shaving, which wanted 0 W, is outranked.".into(),
            "The water heater does as its home wants.".into(),
        ],
    });
    snapshot
}

/// A winter evening of five homes, one of them away.
pub(crate) fn evening() -> DemoSnapshot {
    let at = Timestamp(1_794_880_982_000);
    let offset = FixedOffset::west_opt(8 * 3_600).unwrap();
    let mut snapshot = DemoSnapshot::starting("fontana", offset, at);
    for step in 0..300_u32 {
        let share = f64::from(step) / 300.0;
        snapshot.totals = PowerTotals {
            generation_watts: Watts(9_000.0 * (1.0 - share) * (1.0 - share)),
            consumption_watts: Watts(3_500.0 + 3_000.0 * share * share),
            storage_watts: Watts(5_000.0 - 9_300.0 * share),
            import_watts: Watts((2_400.0 * share - 800.0).max(0.0)),
            export_watts: Watts((800.0 - 2_400.0 * share).max(0.0)),
            soc: Some(StateOfCharge(0.62)),
        };
        snapshot.extend_trend();
    }
    let figures = [
        (1_234.0, 180.0, -1_054.0, 0.81, 0.0),
        (2_480.0, 0.0, -2_471.0, 0.43, 9.0),
        (310.0, 95.0, 0.0, 1.0, 215.0),
        (2_105.0, 310.0, -480.0, 0.104, 1_315.0),
        (360.0, 610.0, 0.0, 1.0, -250.0),
    ];
    snapshot.homes = (1..)
        .zip(figures)
        .map(|(number, (load, solar, battery, soc, grid))| HomeLine {
            name: format!("home-{number}"),
            online: number != 3,
            active: number != 3,
            load: Watts(load),
            solar: Watts(solar),
            battery: Watts(battery),
            soc: Some(StateOfCharge(soc)),
            grid: Watts(grid),
            last_seen: Some(at.minus(Duration::from_secs(if number == 3 { 312 } else { 0 }))),
            ordered: Vec::new(),
            battery_node: Some(NodeId(2)),
        })
        .collect();
    snapshot.ingest =
        IngestLine { acknowledged: 51_385, per_second: 4.0, refused: 0, backfill: None };
    snapshot.jobs = vec![
        JobLine {
            app: "energy-accounting".into(),
            state: JobState::Running,
            latest: "hour 17:00: used 6.12 kWh, 71 % our own, 0.39 USD".into(),
            alarm: false,
        },
        JobLine {
            app: "limit-watch".into(),
            state: JobState::Running,
            latest: "import 1.6 kW is over the limit of 1.5 kW since 18:02:41".into(),
            alarm: true,
        },
    ];
    snapshot.addresses = Addresses {
        rest: "http://127.0.0.1:8080/api/v1".into(),
        docs: "http://127.0.0.1:8080/api/docs".into(),
        hem: "127.0.0.1:23123".into(),
        ca_file: "data/demo/keys/ca-cert.pem".into(),
        admin_token: "mct_".to_owned() + &"4f8c1d2e9ab07653".repeat(4),
    };
    snapshot.messages.extend([
        Message {
            at: at.minus(Duration::from_secs(90)),
            text: "filled in 50,400 readings of the past week in 6.2 s".into(),
        },
        Message { at, text: "home-3 went offline".into() },
    ]);
    snapshot
}

fn drawn(view: &mut ScreenView, snapshot: &DemoSnapshot, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.render(frame, snapshot)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width);
    let lines = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn shown(snapshot: &DemoSnapshot, width: u16, height: u16) -> String {
    text(&drawn(&mut ScreenView::default(), snapshot, width, height))
}

#[test]
fn a_job_that_is_stopped_says_so_beside_what_it_found_out() {
    let job = JobLine {
        app: "energy-accounting".into(),
        state: JobState::Stopped,
        latest: "today 22.5 kWh used".into(),
        alarm: false,
    };
    assert!(job_line(&job, 80).to_string().contains("stopped; today 22.5 kWh used"));
}

#[test]
fn what_is_steered_and_why_is_seen_in_a_plain_terminal() {
    insta::assert_snapshot!("steered_80x24", shown(&steered(), 80, 24));
}

#[test]
fn what_is_steered_is_seen_with_its_reasons_in_a_big_terminal() {
    insta::assert_snapshot!("steered_160x50", shown(&steered(), 160, 50));
}

#[test]
fn what_is_steered_is_seen_in_a_narrow_terminal() {
    insta::assert_snapshot!("steered_60x30", shown(&steered(), 60, 30));
}

#[test]
fn a_key_shows_how_to_connect_with_a_command_to_try_on_the_chosen_home() {
    let mut view = ScreenView::default();
    let snapshot = steered();
    assert!(view.accept(KeyCode::Down));
    assert_eq!(view.chosen(&snapshot).unwrap().name, "home-2");
    assert!(view.accept(KeyCode::Char('c')));
    insta::assert_snapshot!("connect", text(&drawn(&mut view, &snapshot, 80, 24)));
}

#[test]
fn the_screen_of_a_plain_terminal_holds_everything() {
    insta::assert_snapshot!("80x24", shown(&evening(), 80, 24));
}

#[test]
fn a_big_terminal_gets_a_chart_and_the_latest_messages() {
    insta::assert_snapshot!("200x50", shown(&evening(), 200, 50));
}

#[test]
fn a_narrow_terminal_keeps_every_figure_and_the_whole_token() {
    insta::assert_snapshot!("60x26", shown(&evening(), 60, 26));
}

#[test]
fn a_low_terminal_keeps_the_homes_and_the_token_and_lets_the_rest_go() {
    insta::assert_snapshot!("80x18", shown(&evening(), 80, 18));
}

#[test]
fn before_anything_is_known_the_screen_says_so() {
    let at = Timestamp(1_794_880_982_000);
    let snapshot = DemoSnapshot::starting("fontana", evening().offset, at);
    insta::assert_snapshot!("starting", shown(&snapshot, 80, 24));
}

#[test]
fn while_the_past_is_filled_in_a_bar_says_how_far() {
    let mut snapshot = evening();
    snapshot.ingest.backfill = Some((25_200, 50_400));
    assert!(shown(&snapshot, 80, 25).contains("███████████████░░░░░░░░░░░░░░░ 25,200 of 50,400"));
}

#[test]
fn no_size_of_a_terminal_brings_it_down() {
    let mut snapshot = steered();
    for homes in [0, 5, 300] {
        let home = snapshot.homes.first().cloned().unwrap_or_else(|| evening().homes[0].clone());
        snapshot.homes = vec![home; homes];
        for width in [1, 2, 9, 20, 40, 79, 130, 400] {
            for height in [1, 2, 5, 10, 23, 34, 90] {
                let mut view = ScreenView::default();
                drawn(&mut view, &snapshot, width, height);
                view.accept(KeyCode::Char('c'));
                view.accept(KeyCode::End);
                drawn(&mut view, &snapshot, width, height);
            }
        }
    }
}

#[test]
fn each_energy_has_its_colour_and_an_alarm_is_red() {
    let buffer = drawn(&mut ScreenView::default(), &evening(), 80, 24);
    let colour_of = |word: &str| {
        let rows: Vec<&[ratatui::buffer::Cell]> = buffer.content.chunks(80).collect();
        let found = rows.iter().find_map(|row| {
            let line: Vec<&str> = row.iter().map(|cell| cell.symbol()).collect();
            let at = (0..80).find(|at| line[*at..].concat().starts_with(word))?;
            Some(row[at].fg)
        });
        found.unwrap_or_else(|| panic!("{word} is not on the screen"))
    };
    assert_eq!(colour_of("Solar"), SOLAR);
    assert_eq!(colour_of("Use"), USE);
    assert_eq!(colour_of("Battery"), BATTERY);
    assert_eq!(colour_of("Grid"), GRID);
    assert_eq!(colour_of("↑0.25 kW"), EXPORT);
    assert_eq!(colour_of("import 1.6 kW is over"), ALARM);
}

#[test]
fn many_homes_scroll_with_the_chosen_one_and_never_beyond_the_last() {
    let mut snapshot = evening();
    let home = snapshot.homes[0].clone();
    snapshot.homes =
        (1..=100).map(|i| HomeLine { name: format!("h{i}"), ..home.clone() }).collect();
    let mut view = ScreenView::default();
    let screen = |view: &mut ScreenView| text(&drawn(view, &snapshot, 80, 24));
    let first = screen(&mut view);
    assert!(first.contains("›● h1 ") && first.contains(" of 100 homes, 0 offline"), "{first}");
    assert!(view.accept(KeyCode::PageDown));
    assert!(!screen(&mut view).contains(" h1 "));
    view.accept(KeyCode::End);
    let last = screen(&mut view);
    assert!(last.contains("›● h100 ") && last.contains("to 100 of 100"), "{last}");
    assert!(view.accept(KeyCode::Up), "the end is where the last home is, not beyond");
    assert!(screen(&mut view).contains("›● h99 "));
    for _ in 0..98 {
        view.accept(KeyCode::Up);
        assert!(screen(&mut view).contains("›● h"), "the chosen one is always in view");
    }
    assert!(screen(&mut view).contains("›● h1 "));
}
