//! Connections whose handshake is done; those that are not there yet wait beside each other.

use super::TlsSettings;
use axum::serve::Listener;
use prometheus::IntCounterVec;
use rustls::ServerConfig;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why a connection came to nothing, as it is counted.
const BROKEN: &str = "broken";
const LATE: &str = "late";
const CROWDED_OUT: &str = "crowded_out";

type Connection = (TlsStream<TcpStream>, SocketAddr);

/// Accepts connections, and gives those with which TLS is agreed on.
pub struct TlsListener {
    listener: TcpListener,
    /// What the next handshake goes by: those under way keep theirs.
    identity: watch::Receiver<Arc<ServerConfig>>,
    time_max: Duration,
    handshakes_max: usize,
    handshakes: JoinSet<Result<Connection, &'static str>>,
    /// Those that were under way when it was last looked, the oldest first.
    order: VecDeque<AbortHandle>,
    failed: IntCounterVec,
}

impl TlsListener {
    /// A listener that counts handshakes that failed, by reason.
    pub fn new(
        listener: TcpListener,
        identity: watch::Receiver<Arc<ServerConfig>>,
        settings: &TlsSettings,
        failed: IntCounterVec,
    ) -> TlsListener {
        TlsListener {
            listener,
            identity,
            time_max: settings.handshake_time,
            handshakes_max: settings.handshakes,
            handshakes: JoinSet::new(),
            order: VecDeque::new(),
            failed,
        }
    }

    fn begin(&mut self, stream: TcpStream, address: SocketAddr) {
        if self.order.len() >= self.handshakes_max {
            self.order.retain(|handshake| !handshake.is_finished());
        }
        // Whoever is honest needs milliseconds, so it is the oldest that makes room: to refuse the
        // newest would let a few silent connections keep everybody out.
        if self.order.len() >= self.handshakes_max
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        let acceptor = TlsAcceptor::from(self.identity.borrow().clone());
        let time_max = self.time_max;
        let handshake = self.handshakes.spawn(async move {
            match tokio::time::timeout(time_max, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Ok((stream, address)),
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "no TLS with this client");
                    Err(BROKEN)
                }
                Err(_) => Err(LATE),
            }
        });
        self.order.push_back(handshake);
    }

    /// A connection, unless its handshake failed.
    fn ended(
        &self,
        handshake: Result<Result<Connection, &'static str>, JoinError>,
    ) -> Option<Connection> {
        let reason = match handshake {
            Ok(Ok(connection)) => return Some(connection),
            Ok(Err(reason)) => reason,
            Err(error) if error.is_cancelled() => CROWDED_OUT,
            Err(_) => BROKEN,
        };
        self.failed.with_label_values(&[reason]).inc();
        None
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Connection {
        loop {
            tokio::select! {
                biased;
                Some(handshake) = self.handshakes.join_next() => {
                    if let Some(connection) = self.ended(handshake) {
                        return connection;
                    }
                }
                (stream, address) = Listener::accept(&mut self.listener) => {
                    self.begin(stream, address);
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
