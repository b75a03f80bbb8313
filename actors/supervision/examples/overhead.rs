//! What supervision costs, beside plain actix: memory per idle actor, time per message and question.
//! `cargo run --release -p memcloud-supervision --example overhead` (Linux)

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measurement"
)]

use std::time::{Duration, Instant};

use actix::prelude::*;
use memcloud_supervision::{ChildSpec, Clock, Observe, RestartPolicy, Scope, supervised};

const ACTORS: usize = 50_000;
const MESSAGES: u64 = 500_000;
const DEADLINE: Duration = Duration::from_secs(60);

struct Adder {
    sum: u64,
}

impl Actor for Adder {
    type Context = Context<Self>;
    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(1_024);
    }
}

impl Observe for Adder {}
supervised!(Adder);

#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

impl Handler<Add> for Adder {
    type Result = u64;
    fn handle(&mut self, Add(summand): Add, _: &mut Context<Self>) -> u64 {
        self.sum += summand;
        self.sum
    }
}

fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u32>().ok());
    f64::from(pages.expect("it is a number")) * 4096.0
}

async fn measure(name: &str, address: &Addr<Adder>) {
    let start = Instant::now();
    for number in 0..MESSAGES {
        while address.try_send(Add(1)).is_err() {
            actix_rt::task::yield_now().await;
        }
        if number % 512 == 0 {
            actix_rt::task::yield_now().await;
        }
    }
    let sum = address.send(Add(0)).await.expect("it runs");
    assert_eq!(sum, MESSAGES);
    println!("{name}: {:.0} ns a message", start.elapsed().as_nanos() as f64 / MESSAGES as f64);
}

fn main() {
    System::new().block_on(async {
        let before = resident_bytes();
        let plain: Vec<_> = (0..ACTORS).map(|_| Adder { sum: 0 }.start()).collect();
        for actor in &plain {
            actor.send(Add(0)).await.expect("it runs");
        }
        let with_plain = resident_bytes();
        let root = Scope::root("overhead", Clock::system());
        let supervised: Vec<_> = (0..ACTORS)
            .map(|number| {
                let spec = ChildSpec::new(format!("adder-{number}"));
                root.supervise(spec.policy(RestartPolicy::temporary()), |_| Adder { sum: 0 })
            })
            .collect();
        for actor in &supervised {
            actor.ask(Add(0), DEADLINE).await.expect("it runs");
        }
        let with_supervised = resident_bytes();
        let plain_bytes = (with_plain - before) / ACTORS as f64;
        let supervised_bytes = (with_supervised - with_plain) / ACTORS as f64;
        println!("plain actix: {plain_bytes:.0} B an actor");
        println!("supervised:  {supervised_bytes:.0} B an actor");

        if let (Some(plain), Some(child)) = (plain.first(), supervised.first()) {
            measure("plain actix", plain).await;
            measure("supervised ", &child.addr()).await;
            let start = Instant::now();
            let questions = MESSAGES / 10;
            for _ in 0..questions {
                plain.send(Add(0)).timeout(DEADLINE).await.expect("it runs");
            }
            let each = start.elapsed().as_nanos() as f64 / questions as f64;
            println!("plain actix: {each:.0} ns a question with a time-out");
            let start = Instant::now();
            for _ in 0..questions {
                child.ask(Add(0), DEADLINE).await.expect("it runs");
            }
            let each = start.elapsed().as_nanos() as f64 / questions as f64;
            println!("supervised:  {each:.0} ns a question");
        }
        let start = Instant::now();
        let left = root.shutdown(DEADLINE).await;
        assert!(left.is_empty(), "{} did not stop", left.len());
        println!("supervised:  {ACTORS} actors shut down in {:.0?}", start.elapsed());
    });
}
