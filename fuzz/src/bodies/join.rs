//! A join through a host that changes, repeats and makes up what it relays: nobody is admitted who should not be.

use arbitrary::{Result, Unstructured};
use rejoin::signal::capabilities::Capabilities;
use rejoin::signal::join::{JoinPayload, Joiner, Opener};
use rejoin::signal::message::{Attempt, Introduction, SignalMessage};
use rejoin::signal::seal::Envelope;
use rejoin::signal::{Seed, code::Code};
use rejoin::wire::{MemberId, SessionId, SessionSecret};

const OPENER: MemberId = MemberId([1; 16]);
const JOINER: MemberId = MemberId([2; 16]);

pub(super) fn run(data: &[u8]) {
    let _ = follow(&mut Unstructured::new(data));
}

fn follow(input: &mut Unstructured<'_>) -> Result<()> {
    let capabilities = |member| Capabilities::new(member, 65_536, 0b11);
    let is_code = input.arbitrary::<bool>()?;
    let knows = input.ratio(3, 4)?;
    let (mut opener, mut joiner) = if is_code {
        let code: Code = "7-crane-velvet-orbit".parse().expect("a code");
        let other: Code = "7-crane-velvet-orange".parse().expect("a code");
        let opener = Opener::for_code(&code, capabilities(OPENER), 0, Seed::new([1; 32]));
        let joined = if knows { &code } else { &other };
        (opener.expect("fits"), Joiner::for_code(joined, capabilities(JOINER), 0))
    } else {
        let (secret, other) = (SessionSecret([3; 32]), SessionSecret([4; 32]));
        let joined = if knows { &secret } else { &other };
        let opener = Opener::for_session(&secret, capabilities(OPENER), 4, Seed::new([1; 32]));
        (opener.expect("fits"), Joiner::for_session(joined, capabilities(JOINER), 4))
    };
    let introduction =
        Introduction { name: "laptop".to_owned(), session: Some(SessionId([9; 16])) };

    let mut deposit = opener.deposit().to_vec();
    let is_deposit_whole = !meddle(input, &mut deposit)?;
    let _ = joiner.epoch_of(&deposit);
    let _ = joiner.next_epoch(&deposit);
    let _ = joiner.shared_features(&deposit);
    let offer = SignalMessage::Offer { attempt: Attempt(1), sdp: "v=0\r\n".to_owned() };
    let Ok(greeting) =
        joiner.handle_deposit(&deposit, &introduction, Some(offer), &Seed::new([5; 32]))
    else {
        // A session's deposit shows who made it; that of a code shows nothing.
        assert!(!is_deposit_whole || !(is_code || knows), "an honest deposit is answered");
        return Ok(());
    };

    let mut payload = greeting.payload;
    let is_hello_whole = !meddle(input, &mut payload)?;
    let Ok(JoinPayload::Hello(hello)) = JoinPayload::decode(&payload) else {
        assert!(!is_hello_whole);
        return Ok(());
    };
    let from = if input.ratio(7, 8)? { JOINER } else { MemberId([3; 16]) };
    let is_honest = knows && is_deposit_whole && is_hello_whole && from == JOINER;
    let Ok(proved) = opener.handle_hello(from, &hello, Seed::new([6; 32])) else {
        assert!(!is_honest, "an honest hello is answered");
        return Ok(());
    };
    assert!(is_honest, "admitted although something was not as it should be");

    let Ok((mut payload, mut channel)) = proved.welcome(&introduction, None) else {
        panic!("a welcome fits");
    };
    let is_welcome_whole = !meddle(input, &mut payload)?;
    let Ok(JoinPayload::Welcome(welcome)) = JoinPayload::decode(&payload) else {
        assert!(!is_welcome_whole);
        return Ok(());
    };
    let from = if input.ratio(7, 8)? { OPENER } else { MemberId([3; 16]) };
    let Ok(mut admitted) = joiner.handle_welcome(from, &welcome) else {
        assert!(!is_welcome_whole || from != OPENER, "an honest welcome is taken");
        return Ok(());
    };
    assert!(is_welcome_whole && from == OPENER, "a changed welcome is noticed");

    // What is sealed opens once, in order, and as it was.
    let mut last: Option<Envelope> = None;
    while !input.is_empty() {
        if let (Some(envelope), true) = (&last, input.arbitrary()?) {
            assert!(channel.open(envelope).is_err(), "a repetition is no message");
            continue;
        }
        let word = vec![b'x'; input.int_in_range(0..=20)?];
        let Ok(envelope) = admitted.channel.seal(&SignalMessage::Bye { word: word.clone() }) else {
            continue;
        };
        let Ok(SignalMessage::Bye { word: found }) = channel.open(&envelope) else {
            panic!("what was sealed opens");
        };
        assert_eq!(found, word);
        last = Some(envelope);
    }
    Ok(())
}

/// Changes something, or nothing; whether it did.
fn meddle(input: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<bool> {
    let before = bytes.clone();
    match input.int_in_range(0..=7)? {
        0 => {
            for _ in 0..input.int_in_range(1..=3)? {
                if bytes.is_empty() {
                    break;
                }
                let at = input.choose_index(bytes.len())?;
                bytes[at] ^= input.arbitrary::<u8>()?;
            }
        }
        1 => bytes.truncate(input.choose_index(bytes.len() + 1)?),
        2 => bytes.extend_from_slice(input.bytes(input.len().min(3))?),
        3 => {
            let length = input.int_in_range(0..=200)?;
            *bytes = input.bytes(length.min(input.len()))?.to_vec();
        }
        _ => {}
    }
    Ok(*bytes != before)
}
