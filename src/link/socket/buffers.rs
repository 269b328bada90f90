//! Kernel buffers of a UDP socket. With the default ones the kernel drops what a burst brings, and SCTP falls into
//! retransmission timeouts: 25-50 MB/s instead of several hundred.

use std::io;
use std::net::UdpSocket;

use rustix::net::sockopt;

/// How large the buffers should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferRequest {
    /// Bytes asked for, each way. Linux doubles the figure for its own overhead.
    pub bytes: usize,
    /// Whether to pass the system's limit where the process may (`CAP_NET_ADMIN`).
    pub force: bool,
}

/// What the kernel reports after the request; on Linux twice what was granted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantedBuffers {
    /// Effective receive buffer, bytes.
    pub receive_bytes: usize,
    /// Effective send buffer, bytes.
    pub send_bytes: usize,
}

/// Enlarges both buffers as far as allowed and reads back what they became. Never shrinks one.
///
/// # Errors
///
/// Only if a buffer cannot be read back: the socket is unusable.
pub fn request(socket: &UdpSocket, request: BufferRequest) -> io::Result<GrantedBuffers> {
    // A refused request is not an error: the figure read back tells what we have.
    if sockopt::socket_recv_buffer_size(socket)? < request.bytes.saturating_mul(2)
        && !(request.force && force_receive(socket, request.bytes))
    {
        let _ = sockopt::set_socket_recv_buffer_size(socket, request.bytes);
    }
    if sockopt::socket_send_buffer_size(socket)? < request.bytes.saturating_mul(2)
        && !(request.force && force_send(socket, request.bytes))
    {
        let _ = sockopt::set_socket_send_buffer_size(socket, request.bytes);
    }
    Ok(GrantedBuffers {
        receive_bytes: sockopt::socket_recv_buffer_size(socket)?,
        send_bytes: sockopt::socket_send_buffer_size(socket)?,
    })
}

/// What a socket opened now would be granted: the receive window must be known before the link's sockets exist.
///
/// # Errors
///
/// If no UDP socket can be opened at all.
pub fn probe(wanted: BufferRequest) -> io::Result<GrantedBuffers> {
    let any = (std::net::Ipv4Addr::LOCALHOST, 0);
    let socket =
        UdpSocket::bind(any).or_else(|_| UdpSocket::bind((std::net::Ipv6Addr::LOCALHOST, 0)))?;
    request(&socket, wanted)
}

#[cfg(target_os = "linux")]
fn force_receive(socket: &UdpSocket, bytes: usize) -> bool {
    sockopt::set_socket_recv_buffer_size_force(socket, bytes).is_ok()
}

#[cfg(target_os = "linux")]
fn force_send(socket: &UdpSocket, bytes: usize) -> bool {
    sockopt::set_socket_send_buffer_size_force(socket, bytes).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn force_receive(_socket: &UdpSocket, _bytes: usize) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn force_send(_socket: &UdpSocket, _bytes: usize) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_grow_and_never_shrink() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let large = request(&socket, BufferRequest { bytes: 150_000, force: false }).unwrap();
        assert!(large.receive_bytes >= 150_000, "{large:?}");
        let small = request(&socket, BufferRequest { bytes: 1_000, force: false }).unwrap();
        assert_eq!(large, small);
    }
}
