//! Two processes over loopback: how long a link takes to open, and how fast it moves data, beside a bare probe of the
//! stack with the same settings and nothing of ours above it.
//!
//! ```text
//! cargo bench --bench link -- setup      [--runs 20] [--all-addresses]
//! cargo bench --bench link -- throughput [--bytes 1073741824] [--rounds 3] [--mtu 1400] [--rcvbuf BYTES]
//!                                        [--window BYTES] [--only bare|link] [--carrier] [--datagram BYTES]
//!                                        [--cut MILLISECONDS]
//! ```
//!
//! This process starts itself twice per run, as offerer (the receiver) and answerer (the sender), and passes the
//! signaling between their standard streams. Figures are wall time as the receiver sees it, from the first frame to the
//! last; CPU time and peak memory are each child's own, from `/proc`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that reports to a person"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use rejoin::link::cable;
use rejoin::link::config::CarrierSettings;
use rejoin::link::socket::buffers::{self, BufferRequest};
use rejoin::link::socket::{LinkRuntime, LocalAddresses, WakeMode};
use rejoin::link::{
    CarrierTokens, Channel, FRAME_BYTES_MAX, Link, LinkCommand, LinkConfig, LinkDriver, LinkError,
    LinkEvent,
};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::transport::RTCDtlsRole;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCSessionDescription, SettingEngineBuilder,
};

/// A run that takes longer has hung.
const RUN_BOUND: Duration = Duration::from_secs(180);

#[derive(Clone, Debug)]
struct Options {
    mode: String,
    role: Option<String>,
    bare: bool,
    only: Option<String>,
    bytes: u64,
    rounds: usize,
    runs: usize,
    mtu: u16,
    rcvbuf: Option<usize>,
    window: Option<u32>,
    all_addresses: bool,
    /// Whether the link has a carrier; the bare probe never has.
    carrier: bool,
    datagram: Option<usize>,
    /// How long the receiver's cable is cut after a quarter of the bytes, milliseconds.
    cut: Option<u64>,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self {
            mode: "all".into(),
            role: None,
            bare: false,
            only: None,
            bytes: 1 << 30,
            rounds: 3,
            runs: 20,
            mtu: 1400,
            rcvbuf: None,
            window: None,
            all_addresses: false,
            carrier: false,
            datagram: None,
            cut: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect("option needs a value");
            match argument.as_str() {
                "--bench" => {}
                "--role" => options.role = Some(value()),
                "--bare" => options.bare = true,
                "--only" => options.only = Some(value()),
                "--bytes" => options.bytes = value().parse().expect("--bytes takes a number"),
                "--rounds" => options.rounds = value().parse().expect("--rounds takes a number"),
                "--runs" => options.runs = value().parse().expect("--runs takes a number"),
                "--mtu" => options.mtu = value().parse().expect("--mtu takes a number"),
                "--rcvbuf" => {
                    options.rcvbuf = Some(value().parse().expect("--rcvbuf takes a number"))
                }
                "--window" => {
                    options.window = Some(value().parse().expect("--window takes a number"))
                }
                "--carrier" => options.carrier = true,
                "--datagram" => {
                    options.datagram = Some(value().parse().expect("--datagram takes a number"))
                }
                "--cut" => options.cut = Some(value().parse().expect("--cut takes a number")),
                "--all-addresses" => options.all_addresses = true,
                mode => options.mode = mode.to_owned(),
            }
        }
        options
    }

    fn config(&self) -> LinkConfig {
        let mut config = LinkConfig {
            sctp_mtu: self.mtu,
            loopback_only: !self.all_addresses,
            ..Default::default()
        };
        if let Some(bytes) = self.rcvbuf {
            config.socket_buffer_bytes = bytes;
            config.socket_buffer_force = false;
        }
        if self.carrier && !self.bare {
            let mut settings = CarrierSettings::default();
            if let Some(bytes) = self.datagram {
                settings.datagram_bytes_max = bytes;
            }
            config.carrier = Some(settings);
        }
        if let Some(window) = self.window {
            config.receive_window_bytes_max = window;
        }
        config
    }

    fn child(&self, role: &str, bare: bool) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command.arg(&self.mode).args(["--role", role]);
        command.args(["--bytes", &self.bytes.to_string(), "--mtu", &self.mtu.to_string()]);
        if let Some(bytes) = self.rcvbuf {
            command.args(["--rcvbuf", &bytes.to_string()]);
        }
        if let Some(window) = self.window {
            command.args(["--window", &window.to_string()]);
        }
        if let Some(bytes) = self.datagram {
            command.args(["--datagram", &bytes.to_string()]);
        }
        if let Some(milliseconds) = self.cut {
            command.args(["--cut", &milliseconds.to_string()]);
        }
        if self.carrier {
            command.arg("--carrier");
        }
        if self.all_addresses {
            command.arg("--all-addresses");
        }
        if bare {
            command.arg("--bare");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

fn main() {
    let options = Options::parse();
    if let Some(role) = options.role.clone() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
        let bounded = async {
            let run = child(&options, &role);
            tokio::time::timeout(RUN_BOUND, run).await.expect("run took too long");
        };
        runtime.block_on(bounded);
        // The standard input is still being read by a blocking thread.
        #[expect(
            clippy::disallowed_methods,
            reason = "a reader of standard input cannot be stopped"
        )]
        std::process::exit(0);
    }
    for mode in ["setup", "throughput"] {
        if options.mode == mode || options.mode == "all" {
            let options = Options { mode: mode.to_owned(), ..options.clone() };
            match mode {
                "setup" => setup(&options),
                _ => throughput(&options),
            }
        }
    }
}

// ---- the parent ----

/// Facts a child reported, by name.
type Report = Vec<(String, f64)>;

fn fact(report: &Report, name: &str) -> f64 {
    let found = report.iter().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("child did not report {name}: {report:?}")).1
}

fn setup(options: &Options) {
    for bare in variants(options) {
        let mut times: Vec<f64> = (0..options.runs)
            .map(|_| {
                let (offerer, answerer) = run_pair(options, bare);
                let opened = fact(&offerer, "opened").max(fact(&answerer, "opened"));
                (opened - fact(&offerer, "started")) * 1000.0
            })
            .collect();
        let median = median(&mut times);
        println!(
            "setup {:5} {} runs: median {median:.2} ms, min {:.2}, max {:.2}",
            name(bare),
            times.len(),
            times[0],
            times[times.len() - 1],
        );
    }
}

fn throughput(options: &Options) {
    let variants = variants(options);
    let mut rates = vec![Vec::new(); variants.len()];
    let mut sender_cpu = rates.clone();
    let mut receiver_cpu = rates.clone();
    let mut rss = vec![(0.0_f64, 0.0_f64); variants.len()];
    for round in 0..options.rounds {
        for (index, bare) in variants.iter().copied().enumerate() {
            let (receiver, sender) = run_pair(options, bare);
            let rate = options.bytes as f64 / fact(&receiver, "seconds") / 1e6;
            let gib = options.bytes as f64 / f64::from(1 << 30);
            eprintln!(
                "round {round} {:5}: {rate:.0} MB/s, CPU s/GiB sender {:.2} receiver {:.2}, UDP overflows {:.0}",
                name(bare),
                fact(&sender, "cpu") / gib,
                fact(&receiver, "cpu") / gib,
                fact(&receiver, "overflows"),
            );
            rates[index].push(rate);
            sender_cpu[index].push(fact(&sender, "cpu") / gib);
            receiver_cpu[index].push(fact(&receiver, "cpu") / gib);
            rss[index].0 = rss[index].0.max(fact(&sender, "rss"));
            rss[index].1 = rss[index].1.max(fact(&receiver, "rss"));
        }
    }
    for (index, bare) in variants.iter().copied().enumerate() {
        println!(
            "throughput {:5} mtu {} {} rounds: median {:.0} MB/s (min {:.0}, max {:.0}); CPU s/GiB sender {:.2} \
             receiver {:.2}; peak RSS MB sender {:.0} receiver {:.0}",
            name(bare),
            options.mtu,
            options.rounds,
            median(&mut rates[index]),
            rates[index][0],
            rates[index][options.rounds - 1],
            median(&mut sender_cpu[index]),
            median(&mut receiver_cpu[index]),
            rss[index].0,
            rss[index].1,
        );
    }
    if variants.len() == 2 {
        println!("link / bare: {:.3}", median(&mut rates[1]) / median(&mut rates[0]));
    }
}

fn variants(options: &Options) -> Vec<bool> {
    match options.only.as_deref() {
        Some("bare") => vec![true],
        Some(_) => vec![false],
        None => vec![true, false],
    }
}

const fn name(bare: bool) -> &'static str {
    if bare { "bare" } else { "link" }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// Starts both children, passes their lines to each other, and collects their reports: offerer's, then answerer's.
fn run_pair(options: &Options, bare: bool) -> (Report, Report) {
    let mut offerer = options.child("offerer", bare).spawn().expect("start offerer");
    let mut answerer = options.child("answerer", bare).spawn().expect("start answerer");
    let to_offerer = offerer.stdin.take().expect("piped");
    let to_answerer = answerer.stdin.take().expect("piped");
    let (near, far) = std::thread::scope(|scope| {
        let near = scope.spawn(|| pass_lines(&mut offerer, to_answerer));
        let far = scope.spawn(|| pass_lines(&mut answerer, to_offerer));
        (near.join().expect("offerer"), far.join().expect("answerer"))
    });
    assert!(offerer.wait().expect("offerer").success(), "offerer failed");
    assert!(answerer.wait().expect("answerer").success(), "answerer failed");
    (near, far)
}

fn pass_lines(from: &mut Child, mut to: ChildStdin) -> Report {
    let mut report = Report::new();
    for line in BufReader::new(from.stdout.take().expect("piped")).lines() {
        let line = line.expect("child's line");
        match line.strip_prefix("report ") {
            Some(fact) => {
                let (name, value) = fact.split_once(' ').expect("name and value");
                report.push((name.to_owned(), value.parse().expect("number")));
            }
            // The other may be done and gone.
            None => drop(writeln!(to, "{line}").and_then(|()| to.flush())),
        }
    }
    report
}

// ---- a child ----

fn report(name: &str, value: f64) {
    println!("report {name} {value:.9}");
}

/// Seconds since 1970: the one clock that both processes share.
fn clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// User and system time of this process so far, seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("own statistics");
    let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    // Fields 14 and 15 of the line, in ticks of 10 ms.
    let ticks: u64 =
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    ticks as f64 / 100.0
}

fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("own status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).expect("number").parse::<f64>().expect("number") / 1000.0
}

/// Datagrams the kernel dropped for want of socket buffer, in this network namespace.
fn udp_overflows() -> f64 {
    let snmp = std::fs::read_to_string("/proc/net/snmp").expect("snmp");
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let position = names.split(' ').position(|name| name == "RcvbufErrors").expect("RcvbufErrors");
    values.split(' ').nth(position).expect("value").parse().expect("number")
}

/// Lines of the other child, read on a thread of their own.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(kind: &str, text: &str) {
    println!("{kind} {}", serde_json::to_string(text).expect("text"));
}

/// The rest of the next line that begins with `kind`.
async fn hear(lines: &mut mpsc::Receiver<String>, kind: &str) -> String {
    loop {
        let line = lines.recv().await.expect("the other child went away");
        if let Some(text) = line.strip_prefix(kind) {
            return serde_json::from_str(text.trim()).expect("text");
        }
    }
}

async fn child(options: &Options, role: &str) {
    let mut lines = lines();
    let is_offerer = role == "offerer";
    let end: Box<dyn End> = if options.bare {
        Box::new(Bare::open(options, is_offerer, &mut lines).await)
    } else {
        Box::new(Ours::open(options, is_offerer, &mut lines).await)
    };
    report("opened", clock());
    let mut end = end;
    if options.mode == "throughput" {
        let (cpu, overflows, start) = (cpu_seconds(), udp_overflows(), Instant::now());
        if is_offerer {
            let first = end.receive(options.bytes).await;
            report(
                "seconds",
                start.elapsed().as_secs_f64() - first.duration_since(start).as_secs_f64(),
            );
            report("overflows", udp_overflows() - overflows);
            report("cpu", cpu_seconds() - cpu);
            say("received", "");
        } else {
            end.send(options.bytes).await;
            hear(&mut lines, "received").await;
            report("cpu", cpu_seconds() - cpu);
        }
        report("rss", peak_rss_mb());
    }
    // Both stay until both are done: a close on one side would be an error on the other.
    say("finished", "");
    hear(&mut lines, "finished").await;
    end.close().await;
}

/// One end of a connection, ours or bare.
#[async_trait::async_trait]
trait End {
    /// Sends `bytes` in frames of the largest size.
    async fn send(&mut self, bytes: u64);
    /// Receives `bytes`; returns when the first frame came.
    async fn receive(&mut self, bytes: u64) -> Instant;
    async fn close(&mut self);
}

/// The content of every frame; each is copied from it, as one read from a file would be.
fn template() -> Vec<u8> {
    (0..FRAME_BYTES_MAX).map(|index| (index * 31 % 251) as u8).collect()
}

struct Ours {
    link: Link,
    cut: Option<Duration>,
}

/// The rate over time, around a cut of the cable.
struct Outage {
    start: Instant,
    received: u64,
    mended: Option<Instant>,
    bin: (Instant, u64),
}

impl Outage {
    fn new() -> Self {
        let start = Instant::now();
        Self { start, received: 0, mended: None, bin: (start, 0) }
    }

    /// Cuts at a quarter of `bytes`; tells when the first frame is there after it, and the rate of each 100 ms.
    async fn on_frame(&mut self, length: u64, bytes: u64, cut: Duration) {
        self.received += length;
        self.bin.1 += length;
        if self.mended.is_none() && self.received >= bytes / 4 {
            let rate = self.received as f64 / self.start.elapsed().as_secs_f64() / 1e6;
            cable::cut(true);
            tokio::time::sleep(cut).await;
            cable::cut(false);
            eprintln!("cut at {rate:.0} MB/s");
            let now = Instant::now();
            self.mended = Some(now);
            self.bin = (now, 0);
        }
        let Some(mended) = self.mended else { return };
        if self.bin.0.elapsed() >= Duration::from_millis(100) {
            let rate = self.bin.1 as f64 / self.bin.0.elapsed().as_secs_f64() / 1e6;
            eprintln!("  {:4} ms after its end: {rate:.0} MB/s", mended.elapsed().as_millis());
            self.bin = (Instant::now(), 0);
        }
    }
}

impl Ours {
    async fn open(options: &Options, is_offerer: bool, lines: &mut mpsc::Receiver<String>) -> Self {
        let mut link = LinkDriver::start(options.config()).await.expect("start");
        say("ready", "");
        hear(lines, "ready").await;
        report("started", clock());
        let (outgoing, incoming) = if is_offerer { (1, 2) } else { (2, 1) };
        let tokens = CarrierTokens { outgoing, incoming };
        link.handle.command(LinkCommand::Carry(tokens)).expect("tokens");
        if is_offerer {
            link.handle.command(LinkCommand::Offer).expect("offer");
        }
        let (mut open, mut described) = (false, false);
        while !open {
            tokio::select! {
                event = link.events.recv() => match event.expect("event") {
                    LinkEvent::LocalDescription { sdp, .. } => say("sdp", &sdp),
                    LinkEvent::Open => open = true,
                    LinkEvent::Closed { reason } => panic!("closed: {reason}"),
                    LinkEvent::LocalCandidate(_)
                    | LinkEvent::CandidatesEnd
                    | LinkEvent::Ice(_)
                    | LinkEvent::Secured
                    | LinkEvent::Path(_)
                    | LinkEvent::Allocation { .. } => {}
                },
                // Once only: the other may be open and say other things already.
                sdp = hear(lines, "sdp"), if !described => {
                    described = true;
                    let command = if is_offerer {
                        LinkCommand::AcceptAnswer { answer: sdp }
                    } else {
                        LinkCommand::Answer { offer: sdp }
                    };
                    link.handle.command(command).expect("description");
                }
            }
        }
        Self { link, cut: options.cut.map(Duration::from_millis) }
    }
}

#[async_trait::async_trait]
impl End for Ours {
    async fn send(&mut self, bytes: u64) {
        let template = template();
        for _ in 0..bytes / FRAME_BYTES_MAX as u64 {
            let mut frame = Bytes::from(template.clone());
            loop {
                match self.link.handle.try_send(Channel::Data, frame) {
                    Ok(()) => break,
                    Err(unsent) => {
                        assert_eq!(unsent.error, LinkError::Full);
                        frame = unsent.frame;
                        self.link.handle.writable(Channel::Data).await;
                    }
                }
            }
        }
    }

    async fn receive(&mut self, bytes: u64) -> Instant {
        let mut received = 0;
        let mut first = None;
        let mut outage = Outage::new();
        while received < bytes {
            let length = self.link.data.recv().await.expect("frame").len() as u64;
            received += length;
            first.get_or_insert_with(Instant::now);
            if let Some(cut) = self.cut {
                outage.on_frame(length, bytes, cut).await;
            }
        }
        first.expect("a frame")
    }

    async fn close(&mut self) {
        self.link.handle.close().await;
    }
}

/// The stack itself: one data channel, its own back-pressure, nothing in between.
struct Bare {
    connection: Box<dyn PeerConnection>,
    channel: Arc<dyn DataChannel>,
}

struct GatheringDone(mpsc::Sender<()>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for GatheringDone {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.0.try_send(());
        }
    }
}

impl Bare {
    async fn open(options: &Options, is_offerer: bool, lines: &mut mpsc::Receiver<String>) -> Self {
        let config = options.config();
        let request =
            BufferRequest { bytes: config.socket_buffer_bytes, force: config.socket_buffer_force };
        let granted = buffers::probe(request).expect("socket");
        let settings = SettingEngineBuilder::new()
            .with_sctp_mtu(u32::from(config.sctp_mtu))
            .with_sctp_max_receive_buffer_size(config.receive_window_bytes(granted.receive_bytes))
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(FRAME_BYTES_MAX as u32))
            .with_ice_connection_attempts(Some(Duration::from_millis(20)), Some(1000))
            .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
            .with_answering_dtls_role(RTCDtlsRole::Server)
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .build();
        let runtime = Arc::new(LinkRuntime::new(request));
        let (gathered, mut gathering) = mpsc::channel(1);
        let connection = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_setting_engine(settings)
            .with_runtime(Arc::<LinkRuntime>::clone(&runtime))
            .with_handler(Arc::new(GatheringDone(gathered)))
            .with_udp_addrs(vec![LocalAddresses { loopback_only: config.loopback_only }])
            .with_dedicated_reactor_pool_size(1)
            .with_data_channel_send_buffer_limit(config.send_buffer_bytes)
            .build()
            .await
            .expect("build");
        let init = RTCDataChannelInit { negotiated: Some(0), ..Default::default() };
        let channel = connection.create_data_channel("data", Some(init)).await.expect("channel");
        say("ready", "");
        hear(lines, "ready").await;

        report("started", clock());
        if is_offerer {
            let offer = connection.create_offer(None).await.expect("offer");
            connection.set_local_description(offer).await.expect("offer");
            gathering.recv().await.expect("gathering");
            say("sdp", &connection.local_description().await.expect("offer").sdp);
            let answer = RTCSessionDescription::answer(hear(lines, "sdp").await).expect("answer");
            connection.set_remote_description(answer).await.expect("answer");
        } else {
            let offer = RTCSessionDescription::offer(hear(lines, "sdp").await).expect("offer");
            connection.set_remote_description(offer).await.expect("offer");
            let answer = connection.create_answer(None).await.expect("answer");
            connection.set_local_description(answer).await.expect("answer");
            gathering.recv().await.expect("gathering");
            say("sdp", &connection.local_description().await.expect("answer").sdp);
        }
        while !matches!(channel.poll().await.expect("event"), DataChannelEvent::OnOpen) {}
        runtime.set_wake_mode(WakeMode::OnRequest);
        Self { connection: Box::new(connection), channel }
    }
}

#[async_trait::async_trait]
impl End for Bare {
    async fn send(&mut self, bytes: u64) {
        let template = template();
        for _ in 0..bytes / FRAME_BYTES_MAX as u64 {
            self.channel.send(BytesMut::from(&template[..])).await.expect("send");
        }
    }

    async fn receive(&mut self, bytes: u64) -> Instant {
        let mut received = 0;
        let mut first = None;
        while received < bytes {
            if let DataChannelEvent::OnMessage(message) = self.channel.poll().await.expect("event")
            {
                received += message.data.len() as u64;
                first.get_or_insert_with(Instant::now);
            }
        }
        first.expect("a frame")
    }

    async fn close(&mut self) {
        self.connection.close().await.expect("close");
    }
}
