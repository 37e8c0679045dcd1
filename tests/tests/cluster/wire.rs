//! A wire to a server on which nothing is heard for a while.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Default)]
pub(crate) struct Hold {
    is_on: Mutex<bool>,
    changed: Condvar,
}

pub(crate) struct Wire {
    hold: Arc<Hold>,
    port: u16,
}

impl Wire {
    pub(crate) fn start(server: &str) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let hold = Arc::new(Hold::default());
        let (holding, server) = (hold.clone(), server.to_string());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let (one, other) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                for (from, to) in [(client, server), (other, one)] {
                    let hold = holding.clone();
                    std::thread::spawn(move || hold.carry(from, to));
                }
            }
        });
        Wire { hold, port }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Nothing is heard until what this gives is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        *self.hold.is_on.lock().unwrap() = true;
        Held(&self.hold)
    }
}

pub(crate) struct Held<'a>(&'a Hold);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0.is_on.lock().unwrap() = false;
        self.0.changed.notify_all();
    }
}

impl Hold {
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let is_on = self.is_on.lock().unwrap();
            drop(self.changed.wait_while(is_on, |is_on| *is_on).unwrap());
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        // Whatever is closed already need not be.
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    }
}
