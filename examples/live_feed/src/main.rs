//! Lists the homes of a cloud, then follows its live feed, with the SDK alone:
//! `cargo run -p example-live-feed -- http://127.0.0.1:8080 TOKEN [MESSAGES]`.

use std::io::Write;

use memcloud_domain::Secret;
use memcloud_sdk::live::{LiveFeed, LiveFilter, LiveUpdate};
use memcloud_sdk::rest::{PageQuery, RestClient};
use tokio::task::LocalSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(root), Some(token)) = (arguments.next(), arguments.next()) else {
        return Err("usage: example-live-feed http://HOST:PORT TOKEN [MESSAGES]".into());
    };
    let messages: u64 = arguments.next().map_or(Ok(u64::MAX), |count| count.parse())?;
    let cloud = RestClient::new(&root, Secret::new(token), None)?;
    LocalSet::new().run_until(watch(cloud, messages)).await
}

async fn watch(cloud: RestClient, messages: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    let me = cloud.who_am_i().await?;
    writeln!(out, "I am {}, {}", me.name, me.role.as_str())?;
    let mut page = PageQuery::default();
    loop {
        let homes = cloud.hems(None, &page).await?;
        for home in homes.items {
            let state = if home.online { "online" } else { "offline" };
            writeln!(out, "{}: {state}, {} W", home.id, home.totals.consumption_watts.value())?;
        }
        page.after = homes.next;
        if page.after.is_none() {
            break;
        }
    }
    let mut feed = LiveFeed::new(cloud, LiveFilter::default(), 1);
    let mut heard = 0;
    while heard < messages {
        match feed.next_update().await? {
            LiveUpdate::Connected => writeln!(out, "the feed is on")?,
            LiveUpdate::Disconnected { reason, retry_in } => {
                writeln!(out, "the feed is off ({reason}); again in {retry_in:?}")?;
            }
            LiveUpdate::Message { message, .. } => {
                heard += 1;
                writeln!(out, "{}", serde_json::to_string(&message)?)?;
            }
            _ => {}
        }
    }
    Ok(())
}
