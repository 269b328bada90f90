//! The way to a host in the same process: no address, no interface, no port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Bytes under way in each direction.
const BUFFER_BYTES: usize = 64 * 1024;
/// Connections that the host has not accepted yet.
const WAITING_MAX: usize = 4;

/// Where a process gets to its own host.
#[derive(Clone, Debug)]
pub struct OwnHost {
    streams: mpsc::Sender<DuplexStream>,
}

impl OwnHost {
    /// The way in, and what the host accepts from.
    pub(in crate::signal) fn new() -> (Self, mpsc::Receiver<DuplexStream>) {
        let (streams, accepted) = mpsc::channel(WAITING_MAX);
        (Self { streams }, accepted)
    }

    /// A connection.
    ///
    /// # Errors
    /// `ConnectionRefused` where the host has stopped.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        let sent = self.streams.send(theirs).await;
        sent.map(|()| ours).map_err(|_| io::ErrorKind::ConnectionRefused.into())
    }
}

/// Bytes to or from a host, over the network or within the process.
#[derive(Debug)]
pub(in crate::signal) enum Stream {
    Tcp(TcpStream),
    Own(DuplexStream),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Own(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Own(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Own(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Own(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
