//! A wire to the database that loses, delays and cuts what goes over it, by the frames of its protocol.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Bytes before a frame's body, and where the length of that is told.
const HEADER: usize = 9;
const LENGTH_AT: usize = 5;
/// The kind of frame that a batch goes out in: commits with history, and documents.
const BATCH: u8 = 0x0d;
const WAIT_MAX: Duration = Duration::from_secs(40);

/// What becomes of batches, from when it is said until it is said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They go through.
    Nothing,
    /// They never arrive, and their connection is cut.
    Lose,
    /// The next one is done, and its connection is cut where its answer would come.
    CutAnswer,
    /// The next one is done, and its answer never comes.
    LoseAnswer,
    /// The next one is held back, and arrives when that is let go of.
    Hold,
    /// The next one is held back, and so is everything else that is asked from then on.
    HoldAll,
    /// The next one is done and answered, and everything that is asked afterwards is held back.
    HoldAfter,
}

struct State {
    fault: Fault,
    /// Batches that the fault has come over.
    met: usize,
    is_holding: bool,
}

struct Wire {
    node: String,
    state: Mutex<State>,
    changed: Condvar,
}

/// The wire, for as long as the test lasts.
pub(crate) struct Proxy {
    wire: Arc<Wire>,
    port: u16,
}

impl Proxy {
    pub(crate) fn start(node: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { fault: Fault::Nothing, met: 0, is_holding: false };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let wire = Arc::new(Wire { node: node.to_string(), state, changed });
        let accepting = wire.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let wire = accepting.clone();
                std::thread::spawn(move || wire.carry(client));
            }
        });
        Proxy { wire, port }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Says what becomes of batches from now on.
    pub(crate) fn on_batches(&self, fault: Fault) {
        let mut state = self.wire.state();
        (state.fault, state.met) = (fault, 0);
    }

    /// Holds everything back that is asked.
    pub(crate) fn hold(&self) {
        self.wire.state().is_holding = true;
    }

    /// Lets everything go that was held back, and goes on without faults.
    pub(crate) fn let_go(&self) {
        let mut state = self.wire.state();
        (state.fault, state.is_holding) = (Fault::Nothing, false);
        drop(state);
        self.wire.changed.notify_all();
    }

    /// Waits until the fault has come over so many batches.
    pub(crate) fn wait_for(&self, met: usize) {
        let state = self.wire.state();
        let is_fewer = |state: &mut State| state.met < met;
        let (state, timeout) =
            self.wire.changed.wait_timeout_while(state, WAIT_MAX, is_fewer).unwrap();
        assert!(!timeout.timed_out(), "{} of {met} batches came", state.met);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// What is known of a connection.
#[derive(Default)]
struct Connection {
    /// Requests whose answers never come.
    lost: Mutex<HashSet<[u8; 2]>>,
    cut: Mutex<HashSet<[u8; 2]>>,
    /// Requests after whose answer everything is held back.
    last: Mutex<HashSet<[u8; 2]>>,
}

impl Wire {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn carry(self: Arc<Wire>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(&self.node) else { return };
        let connection = Arc::new(Connection::default());
        let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let (wire, known) = (self.clone(), connection.clone());
        std::thread::spawn(move || wire.answers(from, to, &known));
        self.requests(client, server, &connection);
    }

    fn requests(&self, mut client: TcpStream, mut server: TcpStream, known: &Connection) {
        while let Ok(frame) = read(&mut client) {
            let stream = [frame[2], frame[3]];
            let fault = if frame[4] == BATCH { self.meet() } else { Fault::Nothing };
            match fault {
                Fault::Nothing => {}
                Fault::Lose => break,
                Fault::CutAnswer => drop(known.cut.lock().unwrap().insert(stream)),
                Fault::LoseAnswer => drop(known.lost.lock().unwrap().insert(stream)),
                Fault::HoldAfter => drop(known.last.lock().unwrap().insert(stream)),
                Fault::HoldAll => self.state().is_holding = true,
                Fault::Hold => {
                    let until = self.state();
                    let is_held = |state: &mut State| state.fault == Fault::Hold;
                    drop(self.changed.wait_while(until, is_held).unwrap());
                }
            }
            let until = self.state();
            drop(self.changed.wait_while(until, |state| state.is_holding).unwrap());
            if server.write_all(&frame).is_err() {
                break;
            }
        }
        // Whatever is closed already need not be.
        server.shutdown(Shutdown::Both).ok();
        client.shutdown(Shutdown::Both).ok();
    }

    /// What becomes of a batch that comes now.
    fn meet(&self) -> Fault {
        let mut state = self.state();
        let fault = state.fault;
        match fault {
            Fault::Nothing => return fault,
            Fault::Lose => {}
            Fault::Hold if state.met > 0 => return Fault::Nothing,
            Fault::Hold => {}
            _ => state.fault = Fault::Nothing,
        }
        state.met += 1;
        drop(state);
        self.changed.notify_all();
        fault
    }

    fn answers(&self, mut server: TcpStream, mut client: TcpStream, known: &Connection) {
        while let Ok(frame) = read(&mut server) {
            let stream = [frame[2], frame[3]];
            if known.lost.lock().unwrap().remove(&stream) {
                continue;
            }
            if known.cut.lock().unwrap().remove(&stream) {
                break;
            }
            if known.last.lock().unwrap().remove(&stream) {
                self.state().is_holding = true;
            }
            if client.write_all(&frame).is_err() {
                break;
            }
        }
        server.shutdown(Shutdown::Both).ok();
        client.shutdown(Shutdown::Both).ok();
    }
}

fn read(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    from.read_exact(&mut frame)?;
    let length: [u8; 4] = std::array::from_fn(|at| frame[LENGTH_AT + at]);
    let length = u32::from_be_bytes(length) as usize;
    frame.resize(HEADER + length, 0);
    from.read_exact(&mut frame[HEADER..])?;
    Ok(frame)
}
