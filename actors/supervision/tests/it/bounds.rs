//! Nothing is unbounded.

use std::time::Duration;

use futures_util::future::join_all;
use memcloud_supervision::{ActorState, AskError, ChildSpec, TellError, Universe};

use crate::actors::{Count, Counter, Diary, GoWrong, How, SOON, START, counter, patient};

#[test]
fn a_mailbox_takes_no_more_than_its_capacity() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let child = {
            let diary = diary.clone();
            scope.supervise(ChildSpec::new("small").mailbox(4), move |scope| {
                Counter::new(scope, &diary)
            })
        };
        child.tell(GoWrong(How::WaitFor(Duration::from_secs(60)))).unwrap();
        scope.clock().sleep(Duration::from_secs(1)).await;
        let mut accepted = 0;
        for _ in 0..100 {
            match child.tell(Count) {
                Ok(()) => accepted += 1,
                Err(TellError::Full(Count)) => {}
                Err(other) => panic!("{other}"),
            }
            // However often the actor's task is woken meanwhile.
            scope.tree().snapshot(1).await;
        }
        assert!((4..=6).contains(&accepted), "{accepted} messages in a mailbox of 4");
        let picture = scope.tree().snapshot(10).await;
        assert!((4..=6).contains(&picture.children[0].mailbox_depth));
        assert_eq!(picture.children[0].mailbox_capacity, 4);
        assert_eq!(picture.children[0].state, ActorState::Running);
        assert_eq!(picture.children[0].observed, serde_json::Value::Null, "it cannot show itself");

        scope.clock().sleep(Duration::from_secs(60)).await;
        let counted = diary.lines().iter().filter(|line| line.contains("counts")).count();
        assert_eq!(counted, accepted);
        for _ in 0..4 {
            child.tell(Count).unwrap();
        }
    });
}

#[test]
fn questions_beyond_the_mailbox_wait_outside_of_it() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let child = {
            let diary = diary.clone();
            scope.supervise(ChildSpec::new("small").mailbox(4), move |scope| {
                Counter::new(scope, &diary)
            })
        };
        child.tell(GoWrong(How::WaitFor(Duration::from_secs(2)))).unwrap();
        let depth = async {
            scope.clock().sleep(Duration::from_secs(1)).await;
            scope.tree().snapshot(1).await.children[0].mailbox_depth
        };
        let (answers, depth) =
            tokio::join!(join_all((0..1_000).map(|_| child.ask(Count, SOON))), depth);
        assert!(depth <= 6, "{depth} messages in a mailbox of 4");
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(child.ask(Count, SOON).await, Ok(1_001));

        child.tell(GoWrong(How::WaitForEver)).unwrap();
        let answers = join_all((0..1_000).map(|_| child.ask(Count, SOON))).await;
        assert!(answers.iter().all(|answer| *answer == Err(AskError::TimedOut)));
        assert_eq!(scope.shutdown(SOON).await, ["universe/small"]);
    });
}

#[test]
fn a_picture_of_the_tree_shows_some_children_and_counts_the_others() {
    Universe::run(START, async |scope| {
        let children: Vec<_> = (0..1_000)
            .map(|number| counter(&scope, &format!("c-{number:04}"), patient(), &Diary::default()))
            .collect();
        let picture = scope.tree().snapshot(3).await;
        let names: Vec<_> = picture.children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["c-0000", "c-0001", "c-0002"]);
        assert_eq!(picture.more_children, 997);
        assert!(picture.children.iter().all(|child| child.observed["count"] == 0));
        for child in &children {
            child.stop(SOON).await;
        }
        assert_eq!(scope.tree().snapshot(3).await.more_children, 0);
    });
}

#[test]
fn a_picture_waits_a_tenth_of_a_second_however_many_do_not_show_themselves() {
    Universe::run(START, async |scope| {
        for number in 0..50 {
            let child = counter(&scope, &format!("c-{number}"), patient(), &Diary::default());
            child.tell(GoWrong(How::WaitFor(Duration::from_secs(1)))).unwrap();
        }
        let before = scope.clock().unix_ms();
        let picture = scope.tree().snapshot(100).await;
        assert_eq!(picture.children.len(), 50);
        assert!(scope.clock().unix_ms() - before <= 102);
    });
}
