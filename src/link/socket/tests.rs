//! The runtime and plain sockets, over loopback.

use super::*;
use crate::link::stun::{Class, METHOD_BINDING, made};
use futures_util::FutureExt;

fn runtime() -> LinkRuntime {
    let runtime = LinkRuntime::new(BufferRequest { bytes: 1024 * 1024, force: false });
    runtime.set_local_description(DESCRIPTION);
    runtime.set_remote_description(DESCRIPTION);
    runtime
}

const DESCRIPTION: &str = "a=ice-ufrag:both\r\na=ice-pwd:a password that both have\r\n";

/// What is admitted between two of them.
fn check(number: u8) -> Vec<u8> {
    made::check([number; 12], "both:both", "a password that both have")
}

fn ends_at_once(runtime: &LinkRuntime) -> bool {
    runtime.sleep(Duration::from_secs(86_400)).now_or_never().is_some()
}

#[tokio::test]
async fn a_wake_ends_one_sleep_unless_closing() {
    let runtime = runtime();
    assert!(!ends_at_once(&runtime));
    runtime.wake();
    assert!(ends_at_once(&runtime));
    assert!(!ends_at_once(&runtime));

    runtime.set_wake_mode(WakeMode::Never);
    runtime.wake();
    assert!(!ends_at_once(&runtime));
}

#[tokio::test]
async fn where_turn_is_in_play_passes_follow_whatever_happened_and_then_it_sleeps() {
    let runtime = runtime();
    runtime.set_wake_mode(WakeMode::Relayed);
    for _ in 0..2 {
        // Ended by something else: dropped.
        assert!(!ends_at_once(&runtime));
        for pass in 0..RELAY_PASSES {
            assert!(ends_at_once(&runtime), "pass {pass}");
        }
    }
    runtime.set_wake_mode(WakeMode::OnRequest);
    assert!(!ends_at_once(&runtime), "passes left over are not taken elsewhere");
    assert!(!ends_at_once(&runtime));
}

#[tokio::test]
async fn datagrams_wake_only_during_set_up() {
    let runtime = runtime();
    runtime.shared.on_received(1, 100);
    runtime.shared.on_delivered();
    assert!(ends_at_once(&runtime));

    runtime.set_wake_mode(WakeMode::OnRequest);
    runtime.shared.on_received(1, 100);
    runtime.shared.on_delivered();
    assert!(!ends_at_once(&runtime));
    runtime.wake();
    assert!(ends_at_once(&runtime));
    assert_eq!(runtime.counts().datagrams_received, 2);
}

#[tokio::test]
async fn datagrams_arrive_and_are_counted() {
    let (left, right) = (runtime(), runtime());
    let open = |runtime: &LinkRuntime| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        runtime.wrap_udp_socket(socket).unwrap()
    };
    let (from, to) = (open(&left), open(&right));
    assert_eq!(left.sockets(), 1);

    let check = check(1);
    from.send_to(&check, to.local_addr().unwrap()).await.unwrap();
    let mut buffer = [0; 256];
    let (length, source) = to.recv_from(&mut buffer).await.unwrap();
    assert_eq!(buffer[..length], check);
    assert_eq!(source, from.local_addr().unwrap());
    let bytes = check.len() as u64;
    assert_eq!((left.counts().datagrams_sent, left.counts().bytes_sent), (1, bytes));
    assert_eq!((right.counts().datagrams_received, right.counts().bytes_received), (1, bytes));

    drop(from);
    assert_eq!(left.sockets(), 0);
}

/// Each datagram of a train is judged for itself: the stack puts together whatever has one length.
#[tokio::test]
async fn a_train_carries_nothing_that_would_not_go_alone() {
    use webrtc::runtime::Transmit;
    let runtime = runtime();
    let from = runtime.wrap_udp_socket(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    let to = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let destination = to.local_addr().unwrap();
    let length = check(1).len();
    let record = vec![22; length];
    let contents = [&record[..], &check(1), &check(1), &record[..length - 1]].concat();
    let sent = std::future::poll_fn(|context| {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &contents,
            segment_size: Some(length),
            src_ip: None,
        };
        from.poll_send(context, &transmit)
    });
    assert_eq!(sent.await.unwrap(), contents.len());
    // Nothing overtakes on loopback: a record would have come before.
    let mut buffer = [0; 256];
    for _ in 0..2 {
        let (length, _) = to.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..length], check(1));
    }
    assert_eq!(runtime.counts().datagrams_withheld, 2);
    // What asks from within a train is known when it is answered.
    let password = Some(&b"a password that both have"[..]);
    let answer = made::message(Class::Success, METHOD_BINDING, [1; 12], &[], password);
    to.send_to(&answer, from.local_addr().unwrap()).await.unwrap();
    let (length, _) = from.recv_from(&mut buffer).await.unwrap();
    assert_eq!(buffer[..length], answer);
}

/// C-05: what the system will not send is lost like any packet, and the socket goes on.
#[tokio::test]
async fn a_send_that_the_system_refuses_ends_nothing() {
    let runtime = runtime();
    let open = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        runtime.wrap_udp_socket(socket).unwrap()
    };
    let (from, to) = (open(), open());
    // A question to a server may go anywhere. No leave to broadcast; longer than UDP; nobody listens, which is told to the next
    // call.
    let question =
        |number: u8| made::message(Class::Request, METHOD_BINDING, [number; 12], &[], None);
    let broadcast = "255.255.255.255:9".parse().unwrap();
    assert_eq!(from.send_to(&question(1), broadcast).await.unwrap(), 20);
    // Records go where a check was answered.
    from.send_to(&check(1), to.local_addr().unwrap()).await.unwrap();
    let password = Some(&b"a password that both have"[..]);
    let answer = made::message(Class::Success, METHOD_BINDING, [1; 12], &[], password);
    to.send_to(&answer, from.local_addr().unwrap()).await.unwrap();
    let mut buffer = [0; 256];
    let (length, _) = from.recv_from(&mut buffer).await.unwrap();
    assert_eq!(buffer[..length], answer);
    let long = vec![22; 70_000];
    assert_eq!(from.send_to(&long, to.local_addr().unwrap()).await.unwrap(), long.len());
    assert_eq!(runtime.counts().sends_refused, 2);
    let closed = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    for number in 2..5 {
        assert_eq!(from.send_to(&question(number), closed).await.unwrap(), 20);
    }
    from.send_to(&check(5), to.local_addr().unwrap()).await.unwrap();
    let mut last = Vec::new();
    while last != check(5) {
        let (length, _) = to.recv_from(&mut buffer).await.unwrap();
        last = buffer[..length].to_vec();
    }
    // The other way: an ICMP error is no error of a receive.
    to.send_to(&check(6), from.local_addr().unwrap()).await.unwrap();
    let (length, _) = from.recv_from(&mut buffer).await.unwrap();
    assert_eq!(buffer[..length], check(6));
}
