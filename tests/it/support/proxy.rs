//! A way to a server that can be held up, broken and mended.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How often a connection looks at what it may do.
const LOOK: Duration = Duration::from_millis(20);

const OPEN: u8 = 0;
const HELD_UP: u8 = 1;
const BROKEN: u8 = 2;
const OVER: u8 = 3;

/// Passes connections on to a server; ends with this value.
pub struct Proxy {
    host: String,
    way: Arc<Way>,
}

#[derive(Default)]
struct Way {
    state: AtomicU8,
    /// Connections up to this one carry nothing any more, and nobody is told.
    forsaken: AtomicUsize,
    taken: AtomicUsize,
}

impl Way {
    fn of(&self, connection: usize) -> u8 {
        match self.state.load(Ordering::SeqCst) {
            OPEN if connection <= self.forsaken.load(Ordering::SeqCst) => HELD_UP,
            state => state,
        }
    }
}

impl Proxy {
    /// On loopback, to a host and port.
    pub fn to(server: &str) -> Self {
        Self::at("127.0.0.1", server)
    }

    /// On another address of this machine.
    pub fn at(address: &str, server: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let way = Arc::new(Way::default());
        let (state, server) = (Arc::clone(&way), server.to_owned());
        thread::spawn(move || listen(&listener, &server, &state));
        Self { host, way }
    }

    /// Its host and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Connections stay open, new ones are taken, and nothing comes through.
    pub fn hold_up(&self) {
        self.way.state.store(HELD_UP, Ordering::SeqCst);
    }

    /// Connections are closed, new ones at once.
    pub fn break_off(&self) {
        self.way.state.store(BROKEN, Ordering::SeqCst);
    }

    /// Connections stay open, and nothing comes through them any more; new ones work.
    pub fn forsake(&self) {
        self.way.forsaken.store(self.way.taken.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// How many connections were taken so far.
    pub fn taken(&self) -> usize {
        self.way.taken.load(Ordering::SeqCst)
    }

    /// Everything comes through again.
    pub fn mend(&self) {
        self.way.state.store(OPEN, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.way.state.store(OVER, Ordering::SeqCst);
    }
}

fn listen(listener: &TcpListener, server: &str, way: &Arc<Way>) {
    while way.state.load(Ordering::SeqCst) != OVER {
        match listener.accept() {
            Ok((client, _)) => {
                let number = way.taken.fetch_add(1, Ordering::SeqCst) + 1;
                let (server, way) = (server.to_owned(), Arc::clone(way));
                thread::spawn(move || connect(&client, &server, number, &way));
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

fn connect(client: &TcpStream, server: &str, number: usize, way: &Arc<Way>) {
    if way.of(number) == BROKEN {
        return;
    }
    let Ok(server) = TcpStream::connect(server) else { return };
    client.set_nonblocking(false).unwrap();
    let (there, back) = ((client.try_clone(), server.try_clone()), (server.try_clone(), client.try_clone()));
    let directions = [there, back].map(|(from, to)| {
        let (from, to, way) = (from.unwrap(), to.unwrap(), Arc::clone(way));
        thread::spawn(move || carry(from, to, number, &way))
    });
    for direction in directions {
        let _ = direction.join();
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, number: usize, way: &Way) {
    from.set_read_timeout(Some(LOOK)).unwrap();
    let mut bytes = vec![0; 65536];
    loop {
        match way.of(number) {
            OPEN => {}
            HELD_UP => {
                thread::sleep(LOOK);
                continue;
            }
            _ => break,
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                // What was read just before the way was closed waits with it.
                while way.of(number) == HELD_UP {
                    thread::sleep(LOOK);
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
