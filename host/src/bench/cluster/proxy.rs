//! A stand-in for a longer way to the database: passes bytes on, the answers later, and counts them.

use anyhow::Context;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Bytes passed on at once.
const PIECE: usize = 64 << 10;

pub(super) struct Proxy {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    /// Stands before the first of those nodes; each answer comes so much later.
    pub(super) fn start(nodes: &[String], delay: Duration) -> anyhow::Result<Proxy> {
        let node = nodes.first().context("`store.cql.nodes` names none")?.clone();
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (sent, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, until) = (sent.clone(), ended.clone());
        std::thread::Builder::new().name("bench-proxy".to_string()).spawn(move || {
            for client in listener.incoming() {
                if until.load(Ordering::Acquire) {
                    return;
                }
                let passed = client.and_then(|client| pass(client, &node, delay, counted.clone()));
                if let Err(error) = passed {
                    tracing::warn!(%error, "a connection is not passed on");
                }
            }
        })?;
        Ok(Proxy { address, sent, ended })
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Bytes sent to the database so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Whoever waits for the next client takes this for one.
        drop(TcpStream::connect(self.address));
    }
}

fn pass(client: TcpStream, node: &str, delay: Duration, sent: Arc<AtomicU64>) -> io::Result<()> {
    let database = TcpStream::connect(node)?;
    client.set_nodelay(true)?;
    database.set_nodelay(true)?;
    let (from_client, to_client) = (client.try_clone()?, client);
    let (from_database, to_database) = (database.try_clone()?, database);
    let spawn = |name: &str| std::thread::Builder::new().name(name.to_string());
    spawn("bench-there").spawn(move || {
        each_piece(from_client, |piece| {
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            (&to_database).write_all(&piece).is_ok()
        });
        // Whichever side has gone, the other is told by its own connection.
        drop(to_database.shutdown(Shutdown::Both));
    })?;
    let (late, pieces) = mpsc::channel::<(Instant, Vec<u8>)>();
    spawn("bench-late").spawn(move || {
        for (due, piece) in pieces {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if (&to_client).write_all(&piece).is_err() {
                break;
            }
        }
        drop(to_client.shutdown(Shutdown::Both));
    })?;
    spawn("bench-back").spawn(move || {
        each_piece(from_database, |piece| late.send((Instant::now() + delay, piece)).is_ok());
    })?;
    Ok(())
}

fn each_piece(mut from: TcpStream, mut pass: impl FnMut(Vec<u8>) -> bool) {
    let mut buffer = vec![0; PIECE];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || !pass(buffer[..read].to_vec()) {
            return;
        }
    }
}
