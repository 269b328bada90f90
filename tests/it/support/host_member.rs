//! A member of a host that is played by hand. Also behind `benches/host`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use rejoin::signal::protocol::{ClientMessage, HostMessage};
use rejoin::signal::{MemberToken, RoomName};
use rejoin::wire::MemberId;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Where the host with this URL listens.
pub(crate) fn address(url: &str) -> SocketAddr {
    url.strip_prefix("ws://").unwrap().parse().unwrap()
}

/// The address number `index` of this machine that is nobody's else, and no proxy's: a host takes each for another machine.
pub(crate) fn source(index: usize) -> IpAddr {
    Ipv4Addr::new(127, 1, (index / 250) as u8, (index % 250 + 2) as u8).into()
}

pub(crate) async fn tcp(from: IpAddr, host: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(host).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The WebSocket of a member, with little memory of its own; none where the host declines.
pub(crate) async fn upgrade(stream: TcpStream, host: SocketAddr) -> Option<Socket> {
    let config = WebSocketConfig::default().read_buffer_size(4_096).write_buffer_size(0);
    let url = format!("ws://{host}/ws");
    client_async_with_config(url, stream, Some(config)).await.ok().map(|(socket, _)| socket)
}

pub(crate) async fn connect(from: IpAddr, host: SocketAddr) -> Option<Socket> {
    upgrade(tcp(from, host).await.ok()?, host).await
}

pub(crate) fn join(room: RoomName, member: u8) -> ClientMessage {
    let token = MemberToken::for_room(&[member; 32], room);
    let member = MemberId([member; 16]);
    ClientMessage::Join { room, member, token, deposit: None, wait: false }
}

pub(crate) fn session(index: usize) -> RoomName {
    RoomName::Session((index as u128 + 1).to_le_bytes())
}

pub(crate) async fn say(socket: &mut Socket, message: &ClientMessage) -> bool {
    socket.send(Message::binary(message.encode().unwrap())).await.is_ok()
}

/// The next message of the host.
pub(crate) async fn hear(socket: &mut Socket) -> Option<HostMessage> {
    loop {
        if let Message::Binary(bytes) = socket.next().await?.ok()? {
            return HostMessage::decode(&bytes).ok();
        }
    }
}

/// A member that is in its room; or why it is not.
pub(crate) async fn joined(
    from: IpAddr,
    host: SocketAddr,
    room: RoomName,
    member: u8,
) -> Result<Socket, String> {
    let mut socket = connect(from, host).await.ok_or("no connection")?;
    say(&mut socket, &join(room, member)).await;
    match hear(&mut socket).await {
        Some(HostMessage::Joined { .. }) => Ok(socket),
        answer => Err(format!("{answer:?}")),
    }
}
