//! Whatever the bus loses, repeats or swaps, and however small the buffers are: every stored entry is
//! taken once, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use memcloud_bus::CommittedBatch;
use memcloud_domain::messages::{HemBatch, HemMark};
use memcloud_domain::{Entry, Epoch, HemId, Refusal, RefusalCode, Seq, Timestamp};
use memcloud_worker::intake::Intake;
use memcloud_worker::{JobLimits, Roster, View};
use proptest::prelude::*;

use crate::support::{dated_ahead, entry, hem, limits, roster};

const HEMS: [&str; 3] = ["home-1", "home-2", "home-3"];

#[test]
fn neither_a_clock_that_was_ahead_nor_a_refusal_makes_what_follows_late() {
    let ahead = dated_ahead(entry(1, 1_000, Vec::new()), 20);
    let refused = Refusal { seq: Seq(2), received: Timestamp(3_500), code: RefusalCode::Malformed };
    let right = vec![entry(3, 3_000, Vec::new()), entry(4, 2_000, Vec::new())];
    let all = [vec![ahead, Entry::Refused(refused)], right].concat();
    let view = View::of_entries(roster("Europe/Zurich", &HEMS), vec![(hem("home-1"), all)]);
    let late: Vec<bool> = view.entries().map(|seen| seen.late).collect();
    assert_eq!(late, [false, false, false, true], "only what was overtaken is");
}

/// What can happen to a job.
#[derive(Debug, Clone)]
enum Happening {
    /// A HEM's next numbers are stored, leaving a jump in them, and published or not.
    Commit { hem: usize, count: u64, jump: u64, is_published: bool },
    /// An earlier commit is delivered again.
    Repeat(prop::sample::Index),
    /// The marks are learnt.
    Marks,
    /// The page that was asked for comes, or does not.
    Page { fails: bool },
    /// A step is made.
    Step,
    /// The job crashes and goes on from what it saved.
    Crash,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..HEMS.len(), 1_u64..6, prop_oneof![4 => Just(0_u64), 1 => 1_u64..9], any::<bool>())
            .prop_map(|(hem, count, jump, is_published)| Happening::Commit {
                hem,
                count,
                jump,
                is_published,
            }),
        1 => any::<prop::sample::Index>().prop_map(Happening::Repeat),
        1 => Just(Happening::Marks),
        3 => prop::bool::weighted(0.2).prop_map(|fails| Happening::Page { fails }),
        4 => Just(Happening::Step),
        1 => Just(Happening::Crash),
    ]
}

/// The store, the bus and one job.
struct World {
    limits: JobLimits,
    roster: Arc<Roster>,
    stored: BTreeMap<HemId, Vec<u64>>,
    marks: BTreeMap<HemId, u64>,
    published: Vec<HemBatch>,
    intake: Intake,
    page: Option<memcloud_domain::messages::ReadEntriesAfter>,
    /// What the app saw, and what of it was saved with the cursors.
    seen: BTreeMap<HemId, Vec<u64>>,
    saved: (BTreeMap<HemId, Seq>, BTreeMap<HemId, Vec<u64>>),
}

impl World {
    fn batch(&self, hem: &HemId, after: u64, through: u64, limit: usize) -> HemBatch {
        let above = self.stored.get(hem).into_iter().flatten().filter(|seq| **seq > after);
        let entries: Vec<_> = above
            .filter(|seq| **seq <= through)
            .take(limit)
            .map(|seq| entry(*seq, i64::try_from(*seq).unwrap() * 1_000, Vec::new()))
            .collect();
        let last = entries.last().map(|entry| entry.seq().0);
        let through = if entries.len() < limit { through } else { last.unwrap_or(through) };
        HemBatch {
            hem: hem.clone(),
            epoch: Epoch(1),
            after: Seq(after),
            through: Seq(through),
            entries,
        }
    }

    fn marks(&self) -> Vec<HemMark> {
        let mark = |(hem, mark): (&HemId, &u64)| HemMark {
            hem: hem.clone(),
            mark: Seq(*mark),
            epoch: Epoch(1),
        };
        self.marks.iter().map(mark).collect()
    }

    fn apply(&mut self, happening: Happening) {
        let roster = Arc::clone(&self.roster);
        match happening {
            Happening::Commit { hem: index, count, jump, is_published } => {
                let hem = hem(HEMS[index]);
                let after = self.marks.get(&hem).copied().unwrap_or(0);
                let first = after + 1 + jump;
                self.stored.entry(hem.clone()).or_default().extend(first..first + count);
                self.marks.insert(hem.clone(), first + count - 1);
                let batch = self.batch(&hem, after, first + count - 1, usize::MAX);
                self.published.push(batch.clone());
                if is_published {
                    self.intake.take_batch(&CommittedBatch::from(batch), Some(&roster));
                }
            }
            Happening::Repeat(index) => {
                if !self.published.is_empty() {
                    let batch = index.get(&self.published).clone();
                    self.intake.take_batch(&CommittedBatch::from(batch), Some(&roster));
                }
            }
            Happening::Marks => self.intake.take_marks(self.marks()),
            Happening::Page { fails } => match self.page.take() {
                Some(_) if fails => self.intake.page_failed(),
                Some(read) => {
                    let mark = self.marks.get(&read.hem).copied().unwrap_or(0);
                    let page = self.batch(&read.hem, read.after.0, mark, read.limit);
                    self.intake.take_page(page);
                }
                None => {}
            },
            Happening::Step => {
                if let Some((portions, reach)) = self.intake.next_step() {
                    for portion in &portions {
                        let seen = self.seen.entry(portion.hem().clone()).or_default();
                        seen.extend(portion.entries().iter().map(|entry| entry.seq().0));
                    }
                    self.intake.stepped(reach);
                    self.saved = (self.intake.cursors(), self.seen.clone());
                }
            }
            Happening::Crash => {
                self.intake = Intake::new(self.limits, self.saved.0.clone());
                self.seen = self.saved.1.clone();
                self.page = None;
            }
        }
        if self.page.is_none() {
            self.page = self.intake.next_page(&roster);
        }
        assert!(
            self.intake.backlog() <= self.limits.backlog + self.limits.page + 6,
            "the backlog is bounded"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_stored_entry_is_seen_once_and_in_order(
        happenings in prop::collection::vec(happening(), 0..120),
        backlog in 1_usize..12,
        page in 1_usize..8,
        step_entries in 1_usize..7,
    ) {
        let limits = JobLimits { backlog, page, step_entries, ..limits() };
        let mut world = World {
            limits,
            roster: roster("UTC", &HEMS),
            stored: BTreeMap::new(),
            marks: BTreeMap::new(),
            published: Vec::new(),
            intake: Intake::new(limits, BTreeMap::new()),
            page: None,
            seen: BTreeMap::new(),
            saved: Default::default(),
        };
        for happening in happenings {
            world.apply(happening);
            for (hem, seen) in &world.seen {
                prop_assert_eq!(seen, &world.stored[hem][..seen.len()], "in order, without a hole");
            }
        }
        // Left alone, with the marks asked for now and then, it sees the rest.
        world.apply(Happening::Marks);
        for _ in 0..5_000 {
            world.apply(Happening::Page { fails: false });
            world.apply(Happening::Step);
            if world.page.is_none() && !world.intake.has_waiting() {
                break;
            }
        }
        prop_assert_eq!(&world.seen, &world.stored);
        prop_assert_eq!(world.intake.behind(&world.roster), 0);
    }
}

#[test]
fn a_job_follows_no_more_hems_than_it_may_and_counts_what_it_passes_over() {
    let limits = JobLimits { hems: 2, ..limits() };
    let mut intake = Intake::new(limits, BTreeMap::new());
    for name in HEMS {
        let batch = HemBatch {
            hem: hem(name),
            epoch: Epoch(1),
            after: Seq(0),
            through: Seq(1),
            entries: vec![entry(1, 0, Vec::new())],
        };
        intake.take_batch(&CommittedBatch::from(batch), Some(&roster("UTC", &HEMS)));
    }
    assert_eq!(intake.next_step().unwrap().0.len(), 2);
    assert_eq!(intake.left_out(), 1);
}
