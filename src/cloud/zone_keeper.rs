//! Tells the `Historian` in which time zone a microgrid's days are, whenever that changes. It is not
//! lost while the store is away: the newest word on each microgrid waits here.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler};
use memcloud_domain::MicrogridId;
use memcloud_domain::messages::{MicrogridChanged, MicrogridProfile};
use memcloud_historian::SetTimeZone;
use memcloud_supervision::{Child, ChildSpec, Observe, Port, RestartPolicy, Scope, supervised};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(5);

/// Tells the `Historian` of time zones.
pub(super) struct ZoneKeeper {
    historian: Port<SetTimeZone>,
    waiting: BTreeMap<MicrogridId, MicrogridProfile>,
    telling: bool,
}

impl ZoneKeeper {
    /// Starts it below a scope, named `zone-keeper`.
    pub(super) fn start(scope: &Scope, historian: Port<SetTimeZone>) -> Child<Self> {
        let spec = ChildSpec::new("zone-keeper").policy(RestartPolicy::permanent());
        scope.supervise(spec, move |_| Self {
            historian: historian.clone(),
            waiting: BTreeMap::new(),
            telling: false,
        })
    }

    fn tell_next(&mut self, context: &mut Context<Self>) {
        if self.telling {
            return;
        }
        let Some((_, profile)) = self.waiting.first_key_value() else { return };
        let (historian, profile) = (self.historian.clone(), profile.clone());
        self.telling = true;
        let told = async move {
            let message = SetTimeZone { profile: profile.clone() };
            (historian.ask(message, DEADLINE).await, profile)
        };
        context.spawn(wrap_future::<_, Self>(told).map(|(told, profile), keeper, context| {
            keeper.telling = false;
            if matches!(told, Ok(Ok(()))) {
                // A newer word may have come meanwhile.
                if keeper.waiting.get(&profile.id) == Some(&profile) {
                    keeper.waiting.remove(&profile.id);
                }
                keeper.tell_next(context);
            } else {
                context.run_later(RETRY, Self::tell_next);
            }
        }));
    }
}

impl Actor for ZoneKeeper {
    type Context = Context<Self>;
}

impl Observe for ZoneKeeper {
    fn observe(&self) -> serde_json::Value {
        json!({ "waiting": self.waiting.len() })
    }
}

supervised!(ZoneKeeper);

impl Handler<MicrogridChanged> for ZoneKeeper {
    type Result = ();

    fn handle(&mut self, changed: MicrogridChanged, context: &mut Context<Self>) {
        self.waiting.insert(changed.profile.id.clone(), changed.profile);
        self.tell_next(context);
    }
}
