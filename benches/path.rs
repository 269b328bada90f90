//! A wide-area path for measurements: packets between two network namespaces, for kernels without netem.
//!
//! ```text
//! path NAMESPACE_A ADDRESS_A/LENGTH NAMESPACE_B ADDRESS_B/LENGTH
//!      [--delay MS] [--jitter MS] [--loss PERCENT] [--rate MBIT] [--queue KB] [--down FROM_S,TO_S]
//! ```
//!
//! Makes a TUN device in each namespace and forwards between them. Delay and jitter are one way and keep the order; loss is
//! random; the queue drops at its tail; `--down` cuts the path between two seconds of this program's life. Runs until its
//! standard input closes, and then says, for each direction, what it forwarded, lost and overflowed, the bytes that left the
//! queue for each flow (protocol and port it goes to) of more than 1 MB, and the longest queue, both every [`BUCKET`] of this
//! program's life. Needs root; `benches/wide_area` runs it.
#![expect(clippy::print_stdout, reason = "a program that reports to a person")]

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

const PACKET_BYTES_MAX: usize = 1_500;
/// Packets on their way in one direction.
const PACKETS_MAX: usize = 1 << 17;
const BUCKET: Duration = Duration::from_millis(250);
/// `TUNSETIFF`.
const SET_INTERFACE: u32 = 0x4004_54ca;
/// `IFF_TUN | IFF_NO_PI`.
const FLAGS: i16 = 0x1001;

/// `struct ifreq`, as far as it is used.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

#[derive(Debug)]
struct Options {
    delay: f64,
    jitter: f64,
    loss: f64,
    /// Bytes a second.
    rate: f64,
    queue: f64,
    down: Option<(f64, f64)>,
}

struct Direction {
    packets: VecDeque<(Instant, Vec<u8>)>,
    busy_until: Instant,
    forwarded: u64,
    lost: u64,
    overflowed: u64,
    /// By IP protocol and port, in each [`BUCKET`]: bytes with their headers.
    flows: BTreeMap<(u8, u16), Vec<u64>>,
    /// The longest queue in each [`BUCKET`], bytes.
    queues: Vec<u64>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    let [a, address_a, b, address_b, rest @ ..] = &arguments[..] else {
        panic!("see the head of benches/path.rs");
    };
    let options = parse(rest);
    let mut devices = [open(a, address_a), open(b, address_b)];
    println!("ready");
    let start = Instant::now();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut directions = [(); 2].map(|()| Direction {
        packets: VecDeque::new(),
        busy_until: start,
        forwarded: 0,
        lost: 0,
        overflowed: 0,
        flows: BTreeMap::new(),
        queues: Vec::new(),
    });
    let mut buffer = vec![0; PACKET_BYTES_MAX + 64];
    loop {
        let now = Instant::now();
        let mut next = now + Duration::from_secs(1);
        for (from, direction) in directions.iter_mut().enumerate() {
            while let Some((due, packet)) = direction.packets.front() {
                if *due > now {
                    next = next.min(*due);
                    break;
                }
                // A full device drops, as one would.
                let _ = devices[1 - from].write(packet);
                direction.forwarded += 1;
                direction.packets.pop_front();
            }
        }
        let wait = next.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let input = std::io::stdin();
        let ready = {
            let mut fds = [
                PollFd::new(&devices[0], PollFlags::IN),
                PollFd::new(&devices[1], PollFlags::IN),
                PollFd::new(&input, PollFlags::IN),
            ];
            poll(&mut fds, Some(&timeout)).expect("poll");
            fds.map(|fd| !fd.revents().is_empty())
        };
        if ready[2] {
            break;
        }
        for (from, device) in devices.iter_mut().enumerate().filter(|(from, _)| ready[*from]) {
            for _ in 0..64 {
                let Ok(bytes) = device.read(&mut buffer) else { break };
                let now = Instant::now();
                let age = now.duration_since(start).as_secs_f64();
                let is_down = options.down.is_some_and(|(begin, end)| (begin..end).contains(&age));
                let packet = buffer[..bytes].to_vec();
                let bucket = ((now - start).as_nanos() / BUCKET.as_nanos()) as usize;
                directions[from].take(packet, &options, is_down, &mut random, (now, bucket));
            }
        }
    }
    for (name, direction) in ["there", "back"].iter().zip(&directions) {
        let Direction { forwarded, lost, overflowed, .. } = direction;
        println!("{name}: forwarded {forwarded}, lost {lost}, overflowed {overflowed}");
        for ((protocol, port), bytes) in &direction.flows {
            if bytes.iter().sum::<u64>() > 1_000_000 {
                let protocol = if *protocol == 6 { "tcp" } else { "udp" };
                println!("flow {name} {protocol} {port} {}", spaced(bytes));
            }
        }
        println!("queue {name} {}", spaced(&direction.queues));
    }
}

fn spaced(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

impl Direction {
    fn take(
        &mut self,
        packet: Vec<u8>,
        options: &Options,
        is_down: bool,
        random: &mut u64,
        (now, bucket): (Instant, usize),
    ) {
        if is_down || unit(random) < options.loss {
            self.lost += 1;
            return;
        }
        self.busy_until = self.busy_until.max(now);
        if options.rate > 0.0 {
            let queued = (self.busy_until - now).as_secs_f64() * options.rate;
            if queued + packet.len() as f64 > options.queue || self.packets.len() >= PACKETS_MAX {
                self.overflowed += 1;
                return;
            }
            self.busy_until += Duration::from_secs_f64(packet.len() as f64 / options.rate);
            let longest = at(&mut self.queues, bucket);
            *longest = (*longest).max(queued as u64);
        }
        if let Some(flow) = flow_of(&packet) {
            *at(self.flows.entry(flow).or_default(), bucket) += packet.len() as u64;
        }
        let delay = Duration::from_secs_f64(options.delay + options.jitter * unit(random));
        let due = self.busy_until + delay;
        let last = self.packets.back().map_or(due, |(last, _)| *last);
        self.packets.push_back((due.max(last), packet));
    }
}

fn at(buckets: &mut Vec<u64>, bucket: usize) -> &mut u64 {
    if buckets.len() <= bucket {
        buckets.resize(bucket + 1, 0);
    }
    &mut buckets[bucket]
}

/// Protocol and port of destination of a packet of TCP or UDP over IPv4.
fn flow_of(packet: &[u8]) -> Option<(u8, u16)> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let protocol = *packet.get(9)?;
    let port = packet.get(header + 2..header + 4)?;
    (packet[0] >> 4 == 4 && matches!(protocol, 6 | 17))
        .then(|| (protocol, u16::from_be_bytes([port[0], port[1]])))
}

/// Xorshift: the losses are the same in every run.
fn unit(random: &mut u64) -> f64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 11) as f64 / (1_u64 << 53) as f64
}

fn parse(arguments: &[String]) -> Options {
    let mut options =
        Options { delay: 0.0, jitter: 0.0, loss: 0.0, rate: 0.0, queue: f64::INFINITY, down: None };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { panic!("{pair:?} needs a value") };
        let number = || value.parse::<f64>().expect("a number");
        match name.as_str() {
            "--delay" => options.delay = number() / 1e3,
            "--jitter" => options.jitter = number() / 1e3,
            "--loss" => options.loss = number() / 1e2,
            "--rate" => options.rate = number() * 1e6 / 8.0,
            "--queue" => options.queue = number() * 1e3,
            "--down" => {
                let (from, to) = value.split_once(',').expect("FROM,TO");
                options.down = Some((from.parse().expect("s"), to.parse().expect("s")));
            }
            other => panic!("no option {other}"),
        }
    }
    options
}

/// A TUN device of that address in a namespace, up.
fn open(namespace: &str, address: &str) -> File {
    let own = File::open("/proc/self/ns/net").expect("own namespace");
    let other = File::open(format!("/var/run/netns/{namespace}")).expect("namespace");
    let enter = |file: &File| {
        rustix::thread::move_into_link_name_space(
            file.as_fd(),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .expect("root");
    };
    enter(&other);
    let device = File::options().read(true).write(true).open("/dev/net/tun").expect("/dev/net/tun");
    let mut name = [0; 16];
    name[..4].copy_from_slice(b"wan0");
    let request = Request { name, flags: FLAGS, rest: [0; 22] };
    #[expect(unsafe_code, reason = "the one call that makes a TUN device has no safe form")]
    // SAFETY: TUNSETIFF reads one `struct ifreq`, of which `Request` has size and layout.
    unsafe {
        let setter = rustix::ioctl::Setter::<SET_INTERFACE, Request>::new(request);
        rustix::ioctl::ioctl(&device, setter).expect("TUNSETIFF");
    }
    let script = format!(
        "ip addr add {address} dev wan0 && ip link set wan0 mtu {PACKET_BYTES_MAX} txqueuelen 2000 up && ip link set lo up"
    );
    assert!(Command::new("sh").args(["-c", &script]).status().expect("sh").success(), "{script}");
    enter(&own);
    rustix::io::ioctl_fionbio(&device, true).expect("not blocking");
    device
}
