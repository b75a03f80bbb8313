//! How many commands a second go through the ledger and back, on a file on this disk: request, order,
//! send, answer, each on disk before the next. Dispatch and the HEMs are stand-ins that answer at once.
//! `cargo run --release -p memcloud-commands --example ledger_rate -- --commands 20000 --at-once 200`.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler};
use clap::Parser;
use memcloud_commands::{
    CommandIds, CommandMetrics, CommandParts, CommandPorts, CommandProcessor, CommandsConfig,
};
use memcloud_domain::messages::{
    CommandAnswered, CommandChanged, DispatchCommand, HemConnected, NotConnected, OrderDraft,
    Origin, PlaceOrders, RequestCommands, SendCommands, Verdict,
};
use memcloud_domain::{
    Asker, CommandAction, CommandId, CommandOutcome, CommandRequest, CommandState, Epoch, HemId,
    MicrogridId, NodeId, Seq, Timestamp,
};
use memcloud_store::registry::SqlRegistry;
use memcloud_supervision::{ChildSpec, Clock, Observe, Port, Scope, supervised};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(60);

/// How many commands a second go through the ledger and back.
#[derive(Debug, Clone, Copy, Parser)]
struct Arguments {
    /// How many commands.
    #[arg(long, default_value_t = 20_000)]
    commands: usize,
    /// How many are under way at a time.
    #[arg(long, default_value_t = 200)]
    at_once: usize,
    /// For so many HEMs.
    #[arg(long, default_value_t = 500)]
    hems: usize,
}

/// Who waits for which command to be acknowledged.
type Waiting = Arc<Mutex<HashMap<CommandId, Option<oneshot::Sender<()>>>>>;

/// Stands for dispatch and the HEMs.
struct Neighbours {
    place: Port<PlaceOrders>,
    answered: Port<CommandAnswered>,
    waiting: Waiting,
    microgrid: MicrogridId,
    clock: Clock,
}

impl Actor for Neighbours {
    type Context = Context<Self>;
}
impl Observe for Neighbours {}
supervised!(Neighbours);

impl Handler<DispatchCommand> for Neighbours {
    type Result = ();

    fn handle(&mut self, offer: DispatchCommand, _: &mut Self::Context) {
        let command = offer.command;
        let draft = OrderDraft {
            origin: Origin::Command(command.id.clone()),
            hem: command.hem.clone(),
            node: command.node,
            action: command.action.clone(),
            lease_ms: None,
            because: "nobody wants otherwise".to_owned(),
            moves_watts: 0.0,
        };
        let place = PlaceOrders {
            microgrid: command.microgrid.clone(),
            verdicts: vec![Verdict::Order(draft)],
        };
        let port = self.place.clone();
        actix_rt::spawn(async move { port.ask(place, PATIENCE).await });
    }
}

impl Handler<SendCommands> for Neighbours {
    type Result = Result<(), NotConnected>;

    fn handle(&mut self, send: SendCommands, _: &mut Self::Context) -> Self::Result {
        for command in send.commands {
            let answer = CommandAnswered {
                hem: send.hem.clone(),
                microgrid: self.microgrid.clone(),
                epoch: Epoch(1),
                command: command.command,
                outcome: CommandOutcome::Done,
                seq: Some(Seq(1)),
                reason: None,
                at: Timestamp(self.clock.unix_ms()),
            };
            // What finds no place is sent again.
            let _ = self.answered.tell(answer);
        }
        Ok(())
    }
}

impl Handler<CommandChanged> for Neighbours {
    type Result = ();

    fn handle(&mut self, change: CommandChanged, _: &mut Self::Context) {
        if change.command.state != CommandState::Acknowledged {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.remove(&change.command.id) {
            Some(Some(waiter)) => drop(waiter.send(())),
            // It was quicker than the answer to the request.
            _ => drop(waiting.insert(change.command.id.clone(), None)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a tool that measures; nothing gives it a clock")]
fn now() -> Instant {
    Instant::now()
}

#[actix_rt::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir_in(".")?;
    let store = Arc::new(SqlRegistry::open(folder.path().join("web.db"))?);
    let scope = Scope::root("ledger-rate", Clock::system());
    let (ports, metrics) = (CommandPorts::default(), Arc::new(CommandMetrics::default()));
    let parts = CommandParts {
        store,
        ports: ports.clone(),
        ids: CommandIds::system()?,
        metrics: Arc::clone(&metrics),
        config: CommandsConfig::default(),
    };
    let processor = CommandProcessor::start(&scope, parts);
    let waiting = Waiting::default();
    let (place, answered) = (processor.port(), processor.port());
    let (shared, clock) = (Arc::clone(&waiting), scope.clock().clone());
    let spec = ChildSpec::new("neighbours").mailbox(8_192);
    let microgrid = MicrogridId::new("fontana")?;
    let own = microgrid.clone();
    let neighbours = scope.supervise(spec, move |_| Neighbours {
        place: place.clone(),
        answered: answered.clone(),
        waiting: Arc::clone(&shared),
        microgrid: own.clone(),
        clock: clock.clone(),
    });
    ports.dispatch(neighbours.port()).send(neighbours.port()).changed(neighbours.port());

    let mut hems = Vec::new();
    for number in 0..arguments.hems {
        let hem = HemId::new(&format!("hem-{number}"))?;
        let connected = HemConnected {
            hem: hem.clone(),
            microgrid: microgrid.clone(),
            epoch: Epoch(1),
            mark: Seq::NONE,
            nodes: Vec::new(),
            process: None,
            at: Timestamp(scope.clock().unix_ms()),
        };
        processor.port().ask(connected, PATIENCE).await?;
        hems.push(hem);
    }

    let ask: Port<RequestCommands> = processor.port();
    let began = now();
    let mut tasks = Vec::new();
    for task in 0..arguments.at_once {
        let (ask, waiting, microgrid) = (ask.clone(), Arc::clone(&waiting), microgrid.clone());
        let hems = hems.clone();
        let turns = (task..arguments.commands).step_by(arguments.at_once.max(1));
        tasks.push(actix_rt::spawn(async move {
            let mut took = Vec::new();
            for turn in turns {
                let Some(hem) = hems.get(turn % hems.len().max(1)) else { break };
                let request = request(&microgrid, hem, turn);
                let began = now();
                let Ok(Ok(taken)) =
                    ask.ask(RequestCommands { requests: vec![request] }, PATIENCE).await
                else {
                    continue;
                };
                for record in taken {
                    let (waiter, acknowledged) = oneshot::channel();
                    let is_done = {
                        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                        match waiting.remove(&record.id) {
                            Some(None) => true,
                            _ => {
                                waiting.insert(record.id.clone(), Some(waiter));
                                false
                            }
                        }
                    };
                    if is_done || tokio::time::timeout(PATIENCE, acknowledged).await.is_ok() {
                        took.push(began.elapsed());
                    }
                }
            }
            took
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await?);
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort();
    let at = |share: usize| took.get(took.len().saturating_sub(1) * share / 100).copied();
    let done = u32::try_from(took.len())?;
    let rows = metrics.commit_sizes.sum();
    let commits = metrics.commits.get().max(1);
    writeln!(
        std::io::stdout(),
        "{done} commands in {seconds:.1} s: {:.0}/s; p50 {:?}, p99 {:?}; {commits} transactions of {} rows, {} us each",
        f64::from(done) / seconds,
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
        rows / commits,
        metrics.commit_microseconds.sum() / commits,
    )?;
    scope.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn request(microgrid: &MicrogridId, hem: &HemId, turn: usize) -> CommandRequest {
    CommandRequest {
        microgrid: microgrid.clone(),
        hem: hem.clone(),
        node: Some(NodeId(1)),
        action: CommandAction::Switch { on: turn.is_multiple_of(2) },
        asker: Asker::Token { id: "1".to_owned(), name: "rate".to_owned() },
        reason: "to measure".to_owned(),
        priority: 0,
        lease_ms: None,
        expires_ms: None,
    }
}
