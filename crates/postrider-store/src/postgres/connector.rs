//! Connector: makes connections to whichever of the named hosts can be written.
//!
//! The client library tries hosts one after the other, with a limit on the TCP connection only: a host that is silent, or
//! frozen after it accepted, would take the time of all others. Here each host has a limit that includes the handshake,
//! and the one that worked last is tried first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::Connect;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Connection, Error, Socket};

use super::tls::{Stream, Tls};

/// What one of several hosts has at most, and at least.
const PER_HOST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(500));

/// A connection's own side, which must be driven.
pub(super) type Driver = Connection<Socket, Stream<Socket>>;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    /// One configuration for each host.
    hosts: Arc<[Config]>,
    tls: Tls,
    /// Which of them worked last.
    last: Arc<AtomicUsize>,
    patience: Duration,
}

impl Connector {
    /// One that waits up to `patience` for a connection.
    pub(super) fn new(config: &Config, tls: Tls, patience: Duration) -> Self {
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        let hosts = if hosts > 1 {
            (0..hosts).map(|index| single_host_config(config, index)).collect()
        } else {
            vec![config.clone()]
        };
        Self { hosts: hosts.into(), tls, last: Arc::default(), patience }
    }

    /// The same with more patience.
    pub(super) fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Connects to the first host that can be written, beginning with the one that worked last.
    pub(super) async fn connect(&self) -> Result<(Client, Driver), Error> {
        let (count, last) = (self.hosts.len(), self.last.load(Ordering::Relaxed));
        let limit = match count {
            1 => self.patience,
            count => {
                let share = self.patience / u32::try_from(count).unwrap_or(u32::MAX);
                share.clamp(PER_HOST.1, PER_HOST.0)
            }
        };
        let mut failed = None;
        for index in (0..count).map(|step| (last + step) % count) {
            let connecting = tokio::time::timeout(limit, self.hosts[index].connect(self.tls.clone()));
            match connecting.await.unwrap_or_else(|_elapsed| Err(Error::__private_api_timeout())) {
                Ok(connected) => {
                    self.last.store(index, Ordering::Relaxed);
                    return Ok(connected);
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(Error::__private_api_timeout))
    }

    /// The same, driven by a task that ends with the client.
    pub(super) async fn connect_driven(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let (client, driver) = self.connect().await?;
        let driving = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "database connection ended");
            }
        });
        Ok((client, driving))
    }
}

impl Connect for Connector {
    fn connect(&self, _config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(self.connect_driven())
    }
}

/// The same configuration with one of its hosts.
fn single_host_config(all: &Config, index: usize) -> Config {
    let mut one = Config::new();
    match all.get_hosts().get(index) {
        Some(Host::Tcp(host)) => drop(one.host(host)),
        #[cfg(unix)]
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    if let Some(address) = all.get_hostaddrs().get(index) {
        one.hostaddr(*address);
    }
    if let Some(port) = all.get_ports().get(index).or_else(|| all.get_ports().first()) {
        one.port(*port);
    }
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(timeout) = all.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(timeout) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(all.get_keepalives()).keepalives_idle(all.get_keepalives_idle());
    one.ssl_mode(all.get_ssl_mode()).ssl_negotiation(all.get_ssl_negotiation());
    one.channel_binding(all.get_channel_binding()).load_balance_hosts(all.get_load_balance_hosts());
    // Of several hosts it is the one that can be written.
    one.target_session_attrs(TargetSessionAttrs::ReadWrite);
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_own_address_and_everything_else_of_the_whole() {
        let all: Config =
            "postgres://me:secret@one:5433,two:5434/db?options=-csearch_path%3Dmine&application_name=x"
                .parse()
                .unwrap();
        for (index, (host, port)) in [("one", 5433), ("two", 5434)].into_iter().enumerate() {
            let one = single_host_config(&all, index);
            assert_eq!(one.get_hosts(), [Host::Tcp(host.to_owned())]);
            assert_eq!(
                (one.get_ports(), one.get_user(), one.get_dbname()),
                (&[port][..], Some("me"), Some("db"))
            );
            assert_eq!((one.get_password(), one.get_options()), (Some(&b"secret"[..]), all.get_options()));
            assert_eq!(one.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        }
        let one_port: Config = "host=one,two port=5500 user=me".parse().unwrap();
        assert_eq!(single_host_config(&one_port, 1).get_ports(), [5500]);
    }
}
