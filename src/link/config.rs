//! The settings of one link; fixed when its connection is built.

use super::StartError;

/// SCTP packet budget that passes every path IPv6 allows, relayed: 1280 - 40 (IPv6) - 8 (UDP) - 4 (TURN) - 37 (DTLS).
pub const SCTP_MTU_ANY_PATH: u16 = 1191;

/// SCTP packet budget for paths known to carry 1500-byte packets: 1,400 + 37 (DTLS) + 8 (UDP) + 40 (IPv6) + 4 (TURN) fits.
/// About 10 % faster than [`SCTP_MTU_ANY_PATH`]. A tunnel with a smaller MTU drops such packets silently.
pub const SCTP_MTU_ETHERNET: u16 = 1400;

/// Largest packet budget taken: a DTLS record holds 16,384 bytes, and the stack's receive buffer assumes 1,500 a datagram.
pub const SCTP_MTU_MAX: u16 = 16_000;

/// What may be handed to SCTP and unacknowledged, per channel. Measured: 1 MiB costs 40 %, 16 MiB gains nothing.
pub const SEND_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Largest receive window advertised to the peer. Measured: more is slower on short paths, and overruns queues on long ones.
pub const RECEIVE_WINDOW_BYTES_MAX: u32 = 2 * 1024 * 1024;

/// Socket buffer asked for; the kernel may grant less. Twice [`RECEIVE_WINDOW_BYTES_MAX`], because the kernel counts
/// its own overhead of each packet too.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Most STUN and TURN servers of one link; each costs a request per local address.
pub const SERVERS_MAX: usize = 16;

/// A TURN server and the credentials to use it. Its `Debug` form hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnServer {
    /// `turn:host:port`; UDP only.
    pub url: String,
    /// User name, which for time-limited credentials holds their expiry.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for TurnServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TurnServer")
            .field("url", &self.url)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Which paths a link may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathPolicy {
    /// The best that works.
    #[default]
    All,
    /// Never through a TURN server.
    DirectOnly,
    /// Always through a TURN server: hides our addresses from the peer.
    RelayOnly,
}

/// SCTP packet budget of a link with a carrier, which cuts records to what the path takes: a DTLS record holds 16,384 bytes.
pub const SCTP_MTU_CARRIED: u16 = 16_000;

/// Largest receive window of a link with a carrier. The carrier's own window protects the socket, so this one is for long
/// paths: 8 MiB fill 400 Mbit/s at 150 ms.
pub const RECEIVE_WINDOW_BYTES_CARRIED: u32 = 8 * 1024 * 1024;

/// UDP payload that passes every path, on some cut in pieces: QUIC's choice (RFC 9000 §14.1).
pub const DATAGRAM_BYTES_START: usize = 1_200;

/// How a link is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarrierSettings {
    /// UDP payload to begin with, bytes.
    pub datagram_bytes_start: usize,
    /// UDP payload not to exceed, bytes, whatever the path takes.
    pub datagram_bytes_max: usize,
}

impl Default for CarrierSettings {
    fn default() -> Self {
        Self { datagram_bytes_start: DATAGRAM_BYTES_START, datagram_bytes_max: 65_507 }
    }
}

/// Everything a link is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkConfig {
    /// `stun:host:port` URLs that tell us our public address.
    pub stun_urls: Vec<String>,
    /// TURN servers, in order of preference.
    pub turn_servers: Vec<TurnServer>,
    /// Which paths may be used.
    pub path_policy: PathPolicy,
    /// Bytes of an SCTP packet, before DTLS, UDP and IP. [`SCTP_MTU_ANY_PATH`] unless the path is known.
    pub sctp_mtu: u16,
    /// Whether DTLS goes through a carrier, which needs [`super::LinkCommand::Carry`] on both sides before the answer is
    /// applied. Then [`SCTP_MTU_CARRIED`] and [`RECEIVE_WINDOW_BYTES_CARRIED`] hold.
    pub carrier: Option<CarrierSettings>,
    /// Most bytes a second that are sent; none: as many as the path takes. A carrier counts what it sends, headers of
    /// its own included; without one, only content counts.
    pub rate_bytes_per_second_max: Option<u64>,
    /// Bytes handed to SCTP and not acknowledged before [`super::LinkHandle::try_send`] starts to queue, per channel.
    pub send_buffer_bytes: usize,
    /// Bound of the advertised receive window; the granted socket buffer may make it smaller.
    pub receive_window_bytes_max: u32,
    /// Socket buffer to ask the kernel for, each way.
    pub socket_buffer_bytes: usize,
    /// Whether `SO_RCVBUFFORCE` may be used to pass the system's limit, where the process has the right to. Off shows
    /// what an ordinary user gets.
    pub socket_buffer_force: bool,
    /// Only loopback addresses are used: for tests and benchmarks.
    pub loopback_only: bool,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            stun_urls: Vec::new(),
            turn_servers: Vec::new(),
            path_policy: PathPolicy::All,
            sctp_mtu: SCTP_MTU_ANY_PATH,
            carrier: None,
            rate_bytes_per_second_max: None,
            send_buffer_bytes: SEND_BUFFER_BYTES,
            receive_window_bytes_max: RECEIVE_WINDOW_BYTES_MAX,
            socket_buffer_bytes: SOCKET_BUFFER_BYTES,
            socket_buffer_force: true,
            loopback_only: false,
        }
    }
}

impl LinkConfig {
    /// Checks the bounds of every field.
    ///
    /// # Errors
    ///
    /// [`StartError::Config`] names the first field that is out of its bounds.
    pub fn validate(&self) -> Result<(), StartError> {
        if !(512..=SCTP_MTU_MAX).contains(&self.sctp_mtu) {
            return Err(StartError::Config("SCTP MTU is outside 512..=16000"));
        }
        if self.carrier.is_some_and(|carrier| carrier.datagram_bytes_max < 512) {
            return Err(StartError::Config("carrier's datagrams are smaller than 512 bytes"));
        }
        if self.send_buffer_bytes < super::FRAME_BYTES_MAX {
            return Err(StartError::Config("send buffer is smaller than one frame"));
        }
        if self.stun_urls.len() + self.turn_servers.len() > SERVERS_MAX {
            return Err(StartError::Config("too many STUN and TURN servers"));
        }
        if self.path_policy == PathPolicy::RelayOnly && self.turn_servers.is_empty() {
            return Err(StartError::Config("relay-only needs a TURN server"));
        }
        Ok(())
    }

    /// The packet budget to build with.
    #[must_use]
    pub fn sctp_packet_bytes(&self) -> u16 {
        if self.carrier.is_some() { SCTP_MTU_CARRIED } else { self.sctp_mtu }
    }

    /// The receive window to advertise, given the socket buffer that the kernel reports.
    ///
    /// The kernel's figure counts its own overhead per packet, so the window must stay below it; past about 0.62 the
    /// kernel drops datagrams and throughput collapses. 8/13 is exactly 256 KiB for a stock Linux (425,984 bytes).
    #[must_use]
    pub fn receive_window_bytes(&self, granted_bytes: usize) -> u32 {
        if self.carrier.is_some() {
            return RECEIVE_WINDOW_BYTES_CARRIED;
        }
        let share = u64::try_from(granted_bytes).unwrap_or(u64::MAX).saturating_mul(8) / 13;
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        // Never below two frames: a window that cannot hold a message can never deliver it.
        share.clamp(2 * 65_536, self.receive_window_bytes_max.max(2 * 65_536))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_follows_the_granted_buffer() {
        let config = LinkConfig::default();
        assert_eq!(config.receive_window_bytes(425_984), 256 * 1024);
        assert_eq!(config.receive_window_bytes(212_992), 128 * 1024);
        assert_eq!(config.receive_window_bytes(8 * 1024 * 1024), RECEIVE_WINDOW_BYTES_MAX);
        assert_eq!(config.receive_window_bytes(0), 128 * 1024);
        assert_eq!(config.receive_window_bytes(usize::MAX), RECEIVE_WINDOW_BYTES_MAX);
    }

    #[test]
    fn out_of_bounds_is_refused() {
        let good = LinkConfig::default();
        assert!(good.validate().is_ok());
        for bad in [
            LinkConfig { sctp_mtu: 0, ..good.clone() },
            LinkConfig { sctp_mtu: SCTP_MTU_MAX + 1, ..good.clone() },
            LinkConfig { send_buffer_bytes: 1, ..good.clone() },
            LinkConfig { stun_urls: vec![String::new(); SERVERS_MAX + 1], ..good.clone() },
            LinkConfig { path_policy: PathPolicy::RelayOnly, ..good },
        ] {
            assert!(matches!(bad.validate(), Err(StartError::Config(_))), "{bad:?}");
        }
    }

    #[test]
    fn password_is_not_shown() {
        let server = TurnServer {
            url: "turn:192.0.2.1:3478".into(),
            username: "user".into(),
            password: "hunter2".into(),
        };
        assert!(!format!("{server:?}").contains("hunter2"));
    }
}
