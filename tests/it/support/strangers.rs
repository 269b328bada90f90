//! A third socket that sends whatever it can think of to every UDP port of some processes. Also the program behind
//! `benches/strangers`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lengths of datagrams: nothing, less than a record's header, a little more, what paths take, what only a loopback takes.
const SIZES: [usize; 9] = [0, 1, 12, 13, 14, 100, 1_200, 1_500, 9_000];

/// Genuine datagrams that are kept for each port, to be sent again from elsewhere.
const CAPTURED_MAX: usize = 32;

/// Longest packet that is kept: a longer one may be a train that the kernel has not cut yet, which is no datagram of anybody.
const CAPTURED_BYTES_MAX: usize = 1_300;

/// A xorshift generator: the same seed makes the same datagrams.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }
}

/// What a third socket sends, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fire {
    /// Datagrams a second, to all ports together; 0: as many as go.
    pub(crate) rate: u64,
    pub(crate) seed: u64,
}

/// A third socket at work; it stops when it is dropped.
pub(crate) struct Strangers {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    replayed: Arc<AtomicU64>,
    ports: Arc<Mutex<HashSet<SocketAddr>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Strangers {
    /// Fires at every UDP port that the processes have, and those that they open later.
    pub(crate) fn at(pids: &[u32], fire: Fire) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (sent, replayed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let ports = Arc::new(Mutex::new(HashSet::new()));
        let captured = Arc::new(Mutex::new(HashMap::new()));
        let look = {
            let (stop, ports, pids) = (Arc::clone(&stop), Arc::clone(&ports), pids.to_vec());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let found = pids.iter().flat_map(|pid| ports_of(*pid)).collect();
                    *ports.lock().unwrap() = found;
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
        };
        let capture = {
            let (stop, ports, captured) =
                (Arc::clone(&stop), Arc::clone(&ports), Arc::clone(&captured));
            std::thread::spawn(move || capture(&stop, &ports, &captured))
        };
        let shoot = {
            let (stop, sent, replayed) =
                (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&replayed));
            let ports = Arc::clone(&ports);
            std::thread::spawn(move || shoot(fire, &stop, &ports, &captured, (&sent, &replayed)))
        };
        Self { stop, sent, replayed, ports, threads: vec![look, capture, shoot] }
    }

    /// Datagrams sent so far, and how many of them were genuine ones of others.
    pub(crate) fn sent(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.replayed.load(Ordering::Relaxed))
    }

    /// Ports that are fired at now.
    pub(crate) fn ports(&self) -> usize {
        self.ports.lock().unwrap().len()
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What it panicked with was shown.
            let _ = thread.join();
        }
    }
}

/// Where the UDP sockets of a process are bound.
fn ports_of(pid: u32) -> Vec<SocketAddr> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let inodes: HashSet<String> = descriptors
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            let target = target.to_str()?.strip_prefix("socket:[")?;
            Some(target.strip_suffix(']')?.to_owned())
        })
        .collect();
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (address, port) = words.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        // Words of 32 bits, each in the byte order of the machine.
        let bytes: Vec<u8> = (0..address.len() / 8)
            .filter_map(|at| u32::from_str_radix(&address[8 * at..8 * at + 8], 16).ok())
            .flat_map(u32::to_ne_bytes)
            .collect();
        let address = match (<[u8; 4]>::try_from(&bytes[..]), <[u8; 16]>::try_from(&bytes[..])) {
            (Ok(v4), _) => IpAddr::from(v4),
            (_, Ok(v6)) => IpAddr::from(v6),
            _ => return None,
        };
        inodes.contains(*words.get(9)?).then_some(SocketAddr::new(address, port))
    };
    let table = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}"));
    let tables = ["udp", "udp6"].map(|name| table(name).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1).filter_map(socket)).collect()
}

type Captured = Mutex<HashMap<u16, Vec<Vec<u8>>>>;

/// Keeps some of what others send to the ports. Needs the right to see all packets; without it there is nothing to send again.
fn capture(stop: &AtomicBool, ports: &Mutex<HashSet<SocketAddr>>, captured: &Captured) {
    use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType};
    /// Every protocol, in network order (packet(7)).
    const ALL: u32 = 0x0300;
    let protocol = std::num::NonZeroU32::new(ALL).map(Protocol::from_raw);
    let socket = rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::DGRAM,
        SocketFlags::NONBLOCK,
        protocol,
    );
    let Ok(socket) = socket else { return };
    let mut buffer = vec![0; 70_000];
    let mut count = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, _)) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())
        else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let packet = &buffer[..length];
        let first = packet.first().copied().unwrap_or(0);
        let (header, protocol) =
            if first >> 4 == 4 { (usize::from(first & 0x0f) * 4, 9) } else { (40, 6) };
        // UDP (17); source and destination port, length, checksum.
        let (Some(17), Some(udp)) = (packet.get(protocol), packet.get(header..header + 8)) else {
            continue;
        };
        let port = u16::from_be_bytes([udp[2], udp[3]]);
        let from = u16::from_be_bytes([udp[0], udp[1]]);
        let is_known = |wanted| ports.lock().unwrap().iter().any(|to| to.port() == wanted);
        if length <= CAPTURED_BYTES_MAX && is_known(port) && is_known(from) {
            let datagram = packet.get(header + 8..).unwrap_or_default().to_vec();
            let mut captured = captured.lock().unwrap();
            let kept: &mut Vec<Vec<u8>> = captured.entry(port).or_default();
            if kept.len() < CAPTURED_MAX {
                kept.push(datagram);
            } else {
                kept[count % CAPTURED_MAX] = datagram;
            }
            count += 1;
        }
    }
}

fn shoot(
    fire: Fire,
    stop: &AtomicBool,
    ports: &Mutex<HashSet<SocketAddr>>,
    captured: &Captured,
    (sent, replayed): (&AtomicU64, &AtomicU64),
) {
    let mut sockets: HashMap<IpAddr, UdpSocket> = HashMap::new();
    let mut random = Random(fire.seed | 1);
    let started = Instant::now();
    let sweep = sweep();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let targets: Vec<SocketAddr> = ports.lock().unwrap().iter().copied().collect();
        if targets.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        for to in targets {
            let socket =
                sockets.entry(to.ip()).or_insert_with(|| UdpSocket::bind((to.ip(), 0)).unwrap());
            let mut again = None;
            let datagram = match random.below(8) {
                0..=3 => None,
                4 | 5 => Some(special(&mut random, number)),
                _ => {
                    let captured = captured.lock().unwrap();
                    let kept = captured.get(&to.port()).filter(|kept| !kept.is_empty());
                    again = kept.map(|kept| kept[random.below(kept.len())].clone());
                    again.clone()
                }
            };
            let mut datagram =
                datagram.unwrap_or_else(|| sweep[number as usize % sweep.len()].clone());
            if random.below(4) == 0 {
                mutate(&mut datagram, &mut random);
                // Who knows the token is on the path, and no stranger.
                if again.take().is_some()
                    && let Some(token) = datagram.get_mut(2)
                {
                    *token ^= 0x55;
                }
            }
            let _ = socket.send_to(&datagram, to);
            replayed.fetch_add(u64::from(again.is_some()), Ordering::Relaxed);
            sent.fetch_add(1, Ordering::Relaxed);
            number += 1;
        }
        if let Some(seconds) = number.checked_div(fire.rate) {
            let part = Duration::from_secs_f64((number % fire.rate) as f64 / fire.rate as f64);
            let due = Duration::from_secs(seconds) + part;
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
}

/// Every first byte in every size; every type of record in every epoch, with a header that fits.
fn sweep() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for first in 0..=255_u8 {
        for size in SIZES {
            let mut datagram = vec![0; size];
            datagram.first_mut().into_iter().for_each(|byte| *byte = first);
            all.push(datagram);
        }
    }
    for kind in 20..=25_u8 {
        for epoch in 0..=2_u8 {
            for size in SIZES.into_iter().filter(|size| *size >= 13) {
                all.push(record(kind, epoch, all.len() as u32, &vec![1; size - 13]));
            }
        }
    }
    all
}

fn record(kind: u8, epoch: u8, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0x0f];
    record.extend(sequence.to_be_bytes());
    record.extend((body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// What was found to hurt, and what is framed like something that is taken.
fn special(random: &mut Random, number: u64) -> Vec<u8> {
    let sequence = number as u32;
    let message = |kind: u8, message: u16| {
        let [high, low] = message.to_be_bytes();
        [kind, 0, 0, 0, high, low, 0, 0, 0, 0, 0, 0]
    };
    match random.below(14) {
        // S-01.
        0 => record(20, 1, sequence, &[1]),
        1 => record(20, 1, sequence, &[7, 7]),
        // Plaintext alerts.
        2 => record(21, 0, sequence, &[2, 40]),
        3 => record(21, 0, sequence, &[1, 0]),
        // S-07.
        4 => record(22, 0, sequence, &message(14, 4 + (number % 65_531) as u16)),
        5 => record(22, 0, sequence, &message(14, 0).repeat(110)),
        // Hello, of any content.
        6 => record(22, 0, sequence, &[&message(1, 0)[..], &[3; 100]].concat()),
        7 => stun(random, 0x0001, &[(0x0006, b"user:name"), (0x802a, &[0xff; 8]), (0x0025, &[])]),
        8 => stun(random, 0x0101, &[(0x0020, &[0, 1, 0, 9, 1, 2, 3, 4])]),
        9 => {
            let kind = [0x0003, 0x0103, 0x0113, 0x0011, 0x0016, 0x0111][random.below(6)];
            stun(random, kind, &[(0x0008, &[7; 20])])
        }
        // A Data indication with a record in it.
        10 => {
            let inner = record(20, 1, sequence, &[1]);
            stun(random, 0x0017, &[(0x0012, &[0, 1, 1, 2, 3, 4, 5, 6]), (0x0013, &inner)])
        }
        // ChannelData with a record, or something carried, in it.
        11 => {
            let inner =
                if random.below(2) == 0 { record(20, 1, sequence, &[1]) } else { carried(random) };
            let mut channel = vec![0x40 + (number % 0x40) as u8, random.below(4) as u8];
            channel.extend((inner.len() as u16).to_be_bytes());
            channel.extend(inner);
            channel
        }
        12 => carried(random),
        _ => (0..random.below(1_500)).map(|_| random.next() as u8).collect(),
    }
}

/// As the carrier writes it, with a token that is guessed.
fn carried(random: &mut Random) -> Vec<u8> {
    let mut datagram = vec![0x0c, random.below(4) as u8];
    datagram.extend(random.next().to_be_bytes());
    datagram.extend((0..random.below(1_200)).map(|at| at as u8));
    datagram
}

fn stun(random: &mut Random, kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend(kind.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut message = kind.to_be_bytes().to_vec();
    message.extend((body.len() as u16).to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend((0..12).map(|_| random.next() as u8));
    message.extend(body);
    message
}

/// Some bytes become others, and the end may be missing.
fn mutate(datagram: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if !datagram.is_empty() {
            let at = random.below(datagram.len().min(64));
            datagram[at] = random.next() as u8;
        }
    }
    if random.below(4) == 0 {
        datagram.truncate(random.below(datagram.len() + 1));
    }
}
