//! What processes say to each other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use memcloud_bus::{Audience, CloudBus, Note, Pattern, Says};
use memcloud_cluster::{ClusterMetrics, CommandSender, PresenceKeeper, SayWhoIsConnected};
use memcloud_domain::messages::{
    HemConnected, NotConnected, OutgoingCommand, ProcessesChanged, SendCommands,
};
use memcloud_domain::{CommandAction, CommandId, Epoch, HemId, NodeId, ProcessId, Seq, Timestamp};
use memcloud_supervision::{ChildSpec, Observe, Universe, supervised};

use crate::neighbours::{PATIENCE, grid};

/// A table of sockets with one HEM in it.
struct Sockets(Arc<Mutex<Vec<SendCommands>>>);

impl Actor for Sockets {
    type Context = Context<Self>;
}

impl Observe for Sockets {}

supervised!(Sockets);

impl Handler<SendCommands> for Sockets {
    type Result = Result<(), NotConnected>;
    fn handle(&mut self, send: SendCommands, _: &mut Context<Self>) -> Self::Result {
        if send.hem.as_str() != "near" {
            return Err(NotConnected);
        }
        self.0.lock().unwrap().push(send);
        Ok(())
    }
}

fn process(name: &str) -> ProcessId {
    ProcessId::new(name).unwrap()
}

fn connected(hem: &str, at: &str, epoch: u64) -> HemConnected {
    HemConnected {
        hem: HemId::new(hem).unwrap(),
        microgrid: grid("fontana"),
        epoch: Epoch(epoch),
        mark: Seq::NONE,
        nodes: Vec::new(),
        process: Some(process(at)),
        at: Timestamp(0),
    }
}

fn send(hem: &str) -> SendCommands {
    let command = OutgoingCommand {
        command: CommandId::new("c1").unwrap(),
        order: 1,
        node: Some(NodeId(4)),
        action: CommandAction::Switch { on: true },
        issued: Timestamp(0),
        expires: Timestamp(60_000),
        lease_ms: None,
    };
    SendCommands { hem: HemId::new(hem).unwrap(), commands: vec![command] }
}

#[test]
fn a_command_goes_to_the_socket_here_or_to_the_process_that_has_it_and_to_no_dead_one() {
    Universe::run(0, async |scope| {
        let bus = CloudBus::in_process();
        let sent: Arc<Mutex<Vec<SendCommands>>> = Arc::default();
        let own = Arc::clone(&sent);
        let sockets =
            scope.supervise(ChildSpec::new("sockets"), move |_| Sockets(Arc::clone(&own)));
        let metrics = Arc::new(ClusterMetrics::default());
        let sender =
            CommandSender::start(&scope, process("here"), bus.clone(), sockets.port(), metrics);
        let there = Audience::Process(process("there"));
        let mut inbox = bus.notes.bind(&there.pattern().unwrap(), 10);

        assert_eq!(sender.ask(send("near"), PATIENCE).await.unwrap(), Ok(()));
        assert_eq!(sent.lock().unwrap().len(), 1);
        assert_eq!(sender.ask(send("far"), PATIENCE).await.unwrap(), Err(NotConnected));
        sender.ask(connected("far", "there", 3), PATIENCE).await.unwrap();
        assert_eq!(sender.ask(send("far"), PATIENCE).await.unwrap(), Ok(()));
        let Note { from, says } = inbox.try_recv().unwrap().message;
        assert_eq!((from, says), (process("here"), Says::Send(send("far"))));

        // One that has come here is here, though it was heard of elsewhere.
        sender.ask(connected("near", "there", 9), PATIENCE).await.unwrap();
        sender.ask(send("near"), PATIENCE).await.unwrap().unwrap();
        assert_eq!(sent.lock().unwrap().len(), 2);
        assert!(inbox.try_recv().is_none());
        // What is known of an earlier connection changes nothing.
        sender.ask(connected("far", "elsewhere", 2), PATIENCE).await.unwrap();
        sender.ask(send("far"), PATIENCE).await.unwrap().unwrap();
        assert!(inbox.try_recv().is_some());
        let live = ProcessesChanged { live: vec![process("here")] };
        sender.ask(live, PATIENCE).await.unwrap();
        assert_eq!(sender.ask(send("far"), PATIENCE).await.unwrap(), Err(NotConnected));
    });
}

#[test]
fn a_process_says_who_is_connected_when_it_is_asked_and_now_and_then() {
    Universe::run(0, async |scope| {
        let bus = CloudBus::in_process();
        let mut heard = bus.events.bind(&Pattern::all(), 1_000);
        let keeper = PresenceKeeper::start(&scope, bus.clone());
        for number in 0..250 {
            let fact = connected(&format!("h{number:03}"), "here", 1);
            keeper.ask(fact, PATIENCE).await.unwrap();
        }
        let mut count = || std::iter::from_fn(|| heard.try_recv()).count();
        scope.clock().sleep(Duration::from_secs(5)).await;
        assert_eq!(count(), 0, "nobody asked");
        keeper.ask(SayWhoIsConnected, PATIENCE).await.unwrap();
        scope.clock().sleep(Duration::from_secs(2)).await;
        assert_eq!(count(), 250, "each once");
        scope.clock().sleep(Duration::from_secs(61)).await;
        assert_eq!(count(), 250, "what was said may have been lost");
    });
}
