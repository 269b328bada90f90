//! I/O: from addresses to an open WebSocket.
//!
//! The addresses of one host are tried one after the other, [`STAGGER`] apart and without waiting for the one before, and so
//! are the addresses that a name stands for (RFC 8305): one that is dead costs no time. The first TCP connection that opens
//! asks for a WebSocket; only one asks at a time, since the member's first message is in the request. What opens second is
//! kept until the first has become a WebSocket, and dropped then without having said a word.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::in_process::{OwnHost, Stream};
use crate::signal::code::HostAddress;
use crate::signal::first_message;
use crate::signal::interfaces;
use crate::signal::protocol::{ClientMessage, MESSAGE_BYTES_MAX};

/// One address, until TCP is open; and from there until the WebSocket is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between the tries of two addresses (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);
/// How long a WebSocket may take to open where another address has TCP open, or may have soon.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(3);
/// Addresses of one name that are tried.
const OF_NAME_MAX: usize = 8;

/// An open WebSocket.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<Stream>>;

/// Why one address could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered in time.
    #[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    /// The name stands for no address.
    #[error("the name is not known: {0}")]
    Name(io::Error),
    /// Refused, or no way there.
    #[error("{0}")]
    Tcp(io::Error),
    /// It does not speak TLS.
    #[error("it does not speak TLS: a host without it is ws://NAME:PORT")]
    NoTls,
    /// Its certificate is not trusted, or it is no web server at all.
    #[error("{0}")]
    WebSocket(Box<WebSocketError>),
    /// It answered as a web server does.
    #[error("{0}")]
    NotAHost(NotAHost),
    /// It answered, and the other side is not there.
    #[error("the host there does not know this code or session")]
    Absent,
}

/// What a web server answered that opens no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAHost {
    status: u16,
    reason: &'static str,
    location: Option<String>,
}

impl std::fmt::Display for NotAHost {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, reason, location } = self;
        write!(formatter, "it answered {status} {reason}")?;
        match (status, location) {
            (300..=399, Some(location)) => {
                let location = location.replacen("http", "ws", 1);
                write!(formatter, " and sends us to {location}; name that address")
            }
            (401 | 403 | 407, _) => formatter.write_str(
                "; what is in front of the host wants a login or forbids it, and a host needs its …/ws without one",
            ),
            (500..=599, _) => formatter.write_str(
                "; a proxy is there, and the host behind it does not run or cannot be reached",
            ),
            (100..=299, _) => formatter.write_str(
                ", an ordinary page; a host's WebSocket is at …/ws, and a proxy before it has to pass on \"Upgrade\"",
            ),
            _ => formatter.write_str(
                ", so no host is there; its WebSocket is at …/ws below the prefix that a proxy passes on (wss://NAME/PREFIX/ws)",
            ),
        }
    }
}

/// What opened: which address, the WebSocket, and the message that the host took with the request.
pub(super) type Dialled = (HostAddress, Socket, Option<ClientMessage>);

/// Tries the addresses of one host until one opens. `first` rides in the request; it is taken where it may be under way still.
///
/// # Errors
/// What went wrong at each, in order.
pub(super) async fn dial(
    addresses: &[HostAddress],
    first: &mut Option<ClientMessage>,
) -> Result<Dialled, Vec<(HostAddress, ConnectError)>> {
    let mut race = Race::new(addresses);
    loop {
        if race.is_over() {
            return Err(race.into_errors());
        }
        let (at, stream) = race.next_open().await;
        let Some(stream) = stream else { continue };
        let address = &addresses[at];
        let limit = if race.is_over() { CONNECT_TIMEOUT } else { UPGRADE_PATIENCE };
        match timeout(limit, upgrade(address, Stream::Tcp(stream), first.clone())).await {
            Ok(Ok((socket, taken))) => return Ok((address.clone(), socket, taken)),
            Ok(Err(error)) => race.fail(at, error),
            Err(_) => {
                // A host that only stood still may handle it later: it is not said twice.
                *first = None;
                race.fail(at, ConnectError::Timeout);
            }
        }
    }
}

/// Opens a WebSocket to the host of this process.
///
/// # Errors
/// The host has stopped.
pub(super) async fn dial_own(
    address: &HostAddress,
    own: &OwnHost,
    first: Option<ClientMessage>,
) -> Result<Dialled, ConnectError> {
    let opening = async {
        let stream = own.connect().await.map_err(ConnectError::Tcp)?;
        upgrade(address, Stream::Own(stream), first).await
    };
    match timeout(CONNECT_TIMEOUT, opening).await {
        Ok(opened) => opened.map(|(socket, taken)| (address.clone(), socket, taken)),
        Err(_) => Err(ConnectError::Timeout),
    }
}

/// The addresses of one host on their way to an open TCP connection.
struct Race<'a> {
    addresses: &'a [HostAddress],
    waiting: VecDeque<(usize, SocketAddr)>,
    resolving: JoinSet<(usize, io::Result<Vec<SocketAddr>>)>,
    connecting: JoinSet<(usize, Result<TcpStream, ConnectError>)>,
    next_start: Instant,
    errors: Vec<Option<ConnectError>>,
}

impl<'a> Race<'a> {
    fn new(addresses: &'a [HostAddress]) -> Self {
        let mut race = Self {
            addresses,
            waiting: VecDeque::new(),
            resolving: JoinSet::new(),
            connecting: JoinSet::new(),
            next_start: Instant::now(),
            errors: addresses.iter().map(|_| None).collect(),
        };
        for (at, address) in addresses.iter().enumerate() {
            match address.ip() {
                Some(ip) => {
                    let places = places(ip, address);
                    if places.is_empty() {
                        let error = io::Error::from(io::ErrorKind::NetworkUnreachable);
                        race.fail(at, ConnectError::Tcp(error));
                    }
                    race.waiting.extend(places.into_iter().map(|place| (at, place)));
                }
                None => {
                    let (name, port) = (address.host().to_owned(), address.port());
                    race.resolving.spawn(async move {
                        let found = lookup_host((name, port)).await;
                        (at, found.map(|found| found.take(OF_NAME_MAX).collect()))
                    });
                }
            }
        }
        race
    }

    /// Whether nothing is left that could open.
    fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.resolving.is_empty() && self.connecting.is_empty()
    }

    fn fail(&mut self, at: usize, error: ConnectError) {
        self.errors[at] = Some(error);
    }

    fn into_errors(self) -> Vec<(HostAddress, ConnectError)> {
        let errors = self.errors.into_iter().map(|error| error.unwrap_or(ConnectError::Timeout));
        self.addresses.iter().cloned().zip(errors).collect()
    }

    /// Goes on until something opened or failed.
    async fn next_open(&mut self) -> (usize, Option<TcpStream>) {
        loop {
            tokio::select! {
                biased;
                Some(joined) = self.connecting.join_next() => match joined {
                    Ok((at, Ok(stream))) => return (at, Some(stream)),
                    Ok((at, Err(error))) => {
                        self.fail(at, error);
                        // The next one need not wait for its turn.
                        self.next_start = Instant::now();
                        return (at, None);
                    }
                    // A task of ours that failed opened nothing.
                    Err(_) => return (0, None),
                },
                Some(joined) = self.resolving.join_next() => match joined {
                    Ok((at, Ok(places))) if !places.is_empty() => {
                        self.waiting.extend(places.into_iter().map(|place| (at, place)));
                    }
                    Ok((at, Ok(_))) => {
                        self.fail(at, ConnectError::Name(io::ErrorKind::NotFound.into()));
                        return (at, None);
                    }
                    Ok((at, Err(error))) => {
                        self.fail(at, ConnectError::Name(error));
                        return (at, None);
                    }
                    Err(_) => return (0, None),
                },
                () = sleep_until(self.next_start), if !self.waiting.is_empty() => {
                    if let Some((at, place)) = self.waiting.pop_front() {
                        self.next_start = Instant::now() + STAGGER;
                        self.connecting.spawn(async move { (at, connect(place).await) });
                    }
                }
                else => return (0, None),
            }
        }
    }
}

/// Where a literal address is: a link-local one through the named interface, or through each.
fn places(ip: IpAddr, address: &HostAddress) -> Vec<SocketAddr> {
    let port = address.port();
    if let IpAddr::V6(ip) = ip
        && ip.is_unicast_link_local()
    {
        let zones = interfaces::zones(address.zone()).into_iter();
        return zones.map(|zone| SocketAddrV6::new(ip, port, 0, zone).into()).collect();
    }
    vec![SocketAddr::new(ip, port)]
}

async fn connect(place: SocketAddr) -> Result<TcpStream, ConnectError> {
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(place)).await {
        Ok(Ok(stream)) => {
            // Signaling is small messages that somebody waits for; without it they merely are slower.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(ConnectError::Tcp(error)),
        Err(_) => Err(ConnectError::Timeout),
    }
}

/// Asks for the WebSocket; `first` rides in the request.
async fn upgrade(
    address: &HostAddress,
    stream: Stream,
    first: Option<ClientMessage>,
) -> Result<(Socket, Option<ClientMessage>), ConnectError> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MESSAGE_BYTES_MAX);
    let mut request = address.request_url().into_client_request().map_err(connect_error)?;
    let first = first.filter(|first| add_first(request.headers_mut(), first));
    let opened = client_async_tls_with_config(request, stream, Some(config), None).await;
    let (socket, answer) = opened.map_err(connect_error)?;
    let said = answer.headers().get(first_message::NAME);
    let is_taken = said.is_some_and(|said| said == first_message::TAKEN);
    Ok((socket, first.filter(|_| is_taken)))
}

fn connect_error(error: WebSocketError) -> ConnectError {
    if let WebSocketError::Http(response) = &error {
        return ConnectError::NotAHost(not_a_host(response));
    }
    // The library for TLS has no kind for it that reaches us: its words do.
    if matches!(&error, WebSocketError::Io(error) if error.to_string().contains("corrupt message"))
    {
        return ConnectError::NoTls;
    }
    ConnectError::WebSocket(Box::new(error))
}

fn not_a_host(response: &Response) -> NotAHost {
    let location = response.headers().get(header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status();
    NotAHost {
        status: status.as_u16(),
        reason: status.canonical_reason().unwrap_or_default(),
        location,
    }
}

/// Puts the first message into a request; `false` where it does not fit.
fn add_first(headers: &mut HeaderMap, message: &ClientMessage) -> bool {
    let value = first_message::encode(message).and_then(|value| HeaderValue::try_from(value).ok());
    let Some(mut value) = value else { return false };
    // A member's token is in it.
    value.set_sensitive(true);
    headers.insert(first_message::NAME, value);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_none_says_what_to_try() {
        let said = |status, location: Option<&str>| {
            let location = location.map(str::to_owned);
            NotAHost { status, reason: "Reason", location }.to_string()
        };
        assert!(said(200, None).contains("…/ws"));
        assert!(said(404, None).contains("wss://NAME/PREFIX/ws"));
        assert!(said(301, Some("https://x/rejoin/ws")).contains("wss://x/rejoin/ws"));
        assert!(said(302, None).contains("…/ws"));
        assert!(said(403, None).contains("login"));
        assert!(said(502, None).contains("proxy"));
    }
}
