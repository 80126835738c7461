//! Ports of loopback at which nobody is.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// Holds a port without listening there: connections to it are refused, and nobody else can take it meanwhile.
pub struct Nobody {
    socket: TcpSocket,
}

impl Nobody {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        Self { socket }
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }
}

/// A port that was free a moment ago, for a server that is told where to listen.
pub fn free_port() -> u16 {
    Nobody::new().port()
}
