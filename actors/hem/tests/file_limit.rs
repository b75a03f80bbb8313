//! Without file handles nobody is let in, and when there are some again everyone is. In a process of
//! its own: the limit is the process's.

#[cfg(test)]
#[path = "it/house.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod house;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use tokio::net::TcpStream;

    use super::house::House;

    fn open_files() -> u64 {
        u64::try_from(std::fs::read_dir("/proc/self/fd").unwrap().count()).unwrap()
    }

    #[actix_rt::test]
    async fn out_of_file_handles_accepting_rests_and_goes_on_by_itself() {
        let house = House::start(|config| config.tls_reload_interval = Duration::from_hours(1));
        house.welcome("before").await;
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();

        // All handles are taken but one, which the client's own end needs.
        let mut taken = Vec::new();
        while open_files() < 200 {
            taken.push(std::fs::File::open("/dev/null").unwrap());
        }
        setrlimit(Resource::RLIMIT_NOFILE, open_files(), hard).unwrap();
        let client = TcpStream::connect(house.address()).await.unwrap();
        house.until("accepting fails", |house| house.metrics().accept_errors.get() > 0).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let errors = house.metrics().accept_errors.get();
        assert!((1..10).contains(&errors), "it does not spin: {errors} tries");

        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        house.until("let in", |house| house.metrics().connections.get() == 1).await;
        drop(client);
        house.welcome("after").await;
    }
}
