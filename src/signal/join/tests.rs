//! Joins through an honest host, and through hosts and strangers that are not.

use super::payload::Deposit;
use super::*;
use crate::signal::capabilities::Capabilities;
use crate::signal::code::Code;
use crate::signal::message::{Attempt, Introduction, SignalMessage};
use crate::signal::seal::{SealError, SealedChannel};
use crate::wire::{MemberId, SessionId};
use proptest::prelude::*;

const OPENER: MemberId = MemberId([1; 16]);
const JOINER: MemberId = MemberId([2; 16]);
const STRANGER: MemberId = MemberId([3; 16]);
const SDP: &str = "v=0\r\na=fingerprint:sha-256 AA:BB:CC:DD:EE:FF\r\n";

fn capabilities(member: MemberId) -> Capabilities {
    Capabilities::new(member, 65_536, 0b11)
}

fn seed(byte: u8) -> Seed {
    Seed::new([byte; 32])
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn opener() -> Opener {
    Opener::for_code(&code("7-crane-velvet-orbit"), capabilities(OPENER), 0, seed(1)).unwrap()
}

fn joiner(text: &str) -> Joiner {
    Joiner::for_code(&code(text), capabilities(JOINER), 0)
}

fn right_joiner() -> Joiner {
    joiner("7-crane-velvet-orbit")
}

fn offer() -> Option<SignalMessage> {
    Some(SignalMessage::Offer { attempt: Attempt(1), sdp: SDP.to_owned() })
}

fn introduction(name: &str) -> Introduction {
    Introduction { name: name.to_owned(), session: Some(SessionId([9; 16])) }
}

fn greet(joiner: &mut Joiner, deposit: &[u8], byte: u8) -> Greeting {
    joiner.handle_deposit(deposit, &introduction("laptop"), offer(), &seed(byte)).unwrap()
}

fn hello(payload: &[u8]) -> Hello {
    let Ok(JoinPayload::Hello(hello)) = JoinPayload::decode(payload) else { panic!("not a hello") };
    hello
}

fn welcome(payload: &[u8]) -> Welcome {
    let Ok(JoinPayload::Welcome(welcome)) = JoinPayload::decode(payload) else {
        panic!("not a welcome")
    };
    welcome
}

/// A whole join; the channels of both ends.
fn join(
    opener: &mut Opener,
    joiner: &mut Joiner,
    byte: u8,
) -> (Option<SessionSecret>, Admitted, SealedChannel) {
    let greeting = greet(joiner, opener.deposit(), byte);
    let proved = opener.handle_hello(JOINER, &hello(&greeting.payload), seed(byte + 100)).unwrap();
    assert_eq!(proved.first, offer());
    assert_eq!(proved.introduction.name, "laptop");
    let (secret, carrier) = (proved.secret.clone(), proved.carrier);
    let words = proved.short_authentication.to_string();
    let (payload, channel) = proved.welcome(&introduction("desktop"), None).unwrap();
    let admitted = joiner.handle_welcome(OPENER, &welcome(&payload)).unwrap();
    assert_eq!(admitted.introduction, introduction("desktop"));
    assert_eq!(admitted.short_authentication.to_string(), words);
    assert_eq!(words.split(' ').count(), 4);
    let crossed = carrier.map(|tokens| (tokens.incoming, tokens.outgoing));
    assert_eq!(admitted.carrier.map(|tokens| (tokens.outgoing, tokens.incoming)), crossed);
    assert!(crossed.is_some_and(|(out, incoming)| out != incoming));
    (secret, admitted, channel)
}

#[test]
fn a_code_pairs_two_members_once() {
    let (mut opener, mut joiner) = (opener(), right_joiner());
    let (secret, mut admitted, mut channel) = join(&mut opener, &mut joiner, 2);
    assert!(secret.is_some() && secret == admitted.secret);
    assert_eq!(admitted.epoch, 1);
    let stored = admitted.channel.seal(&SignalMessage::Stored).unwrap();
    assert_eq!(channel.open(&stored).unwrap(), SignalMessage::Stored);
    assert!(!opener.handle_stored(STRANGER));
    assert!(opener.handle_stored(JOINER));
    assert!(!opener.handle_stored(JOINER), "the room is locked once");

    let mut late = Joiner::for_code(&code("7-crane-velvet-orbit"), capabilities(STRANGER), 0);
    let greeting = greet(&mut late, opener.deposit(), 5);
    assert_eq!(
        opener.handle_hello(STRANGER, &hello(&greeting.payload), seed(6)).unwrap_err(),
        JoinError::Spent
    );
}

#[test]
fn a_wrong_code_fails_on_both_sides_and_burns() {
    let (mut opener, mut wrong) = (opener(), joiner("7-crane-velvet-orange"));
    let greeting = greet(&mut wrong, opener.deposit(), 2);
    let error = opener.handle_hello(JOINER, &hello(&greeting.payload), seed(3)).unwrap_err();
    assert!(error.burns_room());
    assert!(opener.is_spent());
    assert_eq!(wrong.handle_rejection(Rejection::WrongCode), JoinError::WrongCode);
    // One guess: the right words come too late.
    let greeting = greet(&mut right_joiner(), opener.deposit(), 4);
    assert_eq!(
        opener.handle_hello(JOINER, &hello(&greeting.payload), seed(5)).unwrap_err(),
        JoinError::Spent
    );
    assert!(wrong.handle_deposit(opener.deposit(), &introduction(""), None, &seed(6)).is_err());
}

#[test]
fn a_lying_opener_learns_one_guess_and_the_joiner_refuses_it() {
    let mut lying =
        Opener::for_code(&code("7-crane-velvet-orange"), capabilities(OPENER), 0, seed(1)).unwrap();
    let mut joiner = right_joiner();
    let greeting = greet(&mut joiner, lying.deposit(), 2);
    assert_eq!(
        lying.handle_hello(JOINER, &hello(&greeting.payload), seed(3)).unwrap_err(),
        JoinError::WrongCode
    );
    // It welcomes nevertheless, with a proof it had to make up.
    let first = hello(&greeting.payload).first;
    let forged =
        Welcome { answers: payload::name(&hello(&greeting.payload).share), proof: [0; 32], first };
    assert_eq!(joiner.handle_welcome(OPENER, &forged).unwrap_err(), JoinError::WrongCode);
    assert_eq!(joiner.handle_welcome(OPENER, &forged).unwrap_err(), JoinError::Unexpected);
}

#[test]
fn a_joiner_that_vanishes_runs_again_three_times_in_all() {
    let mut opener = opener();
    let mut joiner = right_joiner();
    let mut elements = std::collections::BTreeSet::new();
    for run in 0..RUNS_MAX {
        assert!(elements.insert(opener.deposit().to_vec()), "a fresh element every run");
        let greeting = greet(&mut joiner, opener.deposit(), 10 + u8::try_from(run).unwrap());
        assert!(!greeting.repeated);
        opener.handle_hello(JOINER, &hello(&greeting.payload), seed(3)).unwrap();
        assert_eq!(opener.runs(), run + 1);
        assert_eq!(opener.handle_departure(STRANGER, seed(40)), Ok(false));
        let departure = opener.handle_departure(JOINER, seed(50 + u8::try_from(run).unwrap()));
        assert_eq!(
            departure,
            if run + 1 < RUNS_MAX { Ok(true) } else { Err(JoinError::TooManyRuns) }
        );
    }
    assert!(opener.is_spent());
    let another =
        Opener::for_code(&code("7-crane-velvet-orbit"), capabilities(OPENER), 1, seed(77)).unwrap();
    let refused = joiner.handle_deposit(another.deposit(), &introduction(""), None, &seed(9));
    assert_eq!(refused.unwrap_err(), JoinError::TooManyRuns, "the joiner counts too");
    assert!(matches!(
        Opener::for_code(&code("7-crane-velvet-orbit"), capabilities(OPENER), RUNS_MAX, seed(1)),
        Err(JoinError::TooManyRuns)
    ));
}

#[test]
fn the_same_deposit_again_is_no_new_guess() {
    let opener = opener();
    let mut joiner = right_joiner();
    let first = greet(&mut joiner, opener.deposit(), 2);
    let again = greet(&mut joiner, opener.deposit(), 3);
    assert_eq!(again.payload, first.payload);
    assert!(again.repeated);
    assert_eq!(joiner.runs(), 1);
}

#[test]
fn leftovers_of_a_broken_run_are_ignored() {
    let (mut opener, mut joiner) = (opener(), right_joiner());
    let old_hello = hello(&greet(&mut joiner, opener.deposit(), 2).payload);
    let proved = opener.handle_hello(JOINER, &old_hello, seed(3)).unwrap();
    let (old_welcome, mut old_channel) = proved.welcome(&introduction("desktop"), None).unwrap();
    assert_eq!(opener.handle_departure(JOINER, seed(4)), Ok(true));

    let greeting = greet(&mut joiner, opener.deposit(), 5);
    assert_eq!(
        joiner.handle_welcome(OPENER, &welcome(&old_welcome)).unwrap_err(),
        JoinError::Stale
    );
    assert_eq!(opener.handle_hello(JOINER, &old_hello, seed(6)).unwrap_err(), JoinError::Stale);
    let proved = opener.handle_hello(JOINER, &hello(&greeting.payload), seed(7)).unwrap();
    let (payload, _) = proved.welcome(&introduction("desktop"), None).unwrap();
    let mut admitted = joiner.handle_welcome(OPENER, &welcome(&payload)).unwrap();
    let late = old_channel.seal(&SignalMessage::Stored).unwrap();
    assert_eq!(admitted.channel.open(&late), Err(SealError::OtherJoin));
}

#[test]
fn strangers_neither_join_nor_disturb() {
    let (mut opener, mut joiner) = (opener(), right_joiner());
    let greeting = greet(&mut joiner, opener.deposit(), 2);
    // A stranger cannot pass the joiner's hello off as its own, before or after.
    let mut copy = opener_copy();
    assert_eq!(
        copy.handle_hello(STRANGER, &hello(&greeting.payload), seed(9)).unwrap_err(),
        JoinError::WrongMember
    );
    assert!(!copy.is_spent(), "the joiner itself still can");
    assert!(copy.handle_hello(JOINER, &hello(&greeting.payload), seed(9)).is_ok());

    let proved = opener.handle_hello(JOINER, &hello(&greeting.payload), seed(3)).unwrap();
    // While a member is being paired, a guess is not even looked at.
    let guess = greet(
        &mut Joiner::for_code(&code("7-crane-velvet-orange"), capabilities(STRANGER), 0),
        opener.deposit(),
        8,
    );
    assert_eq!(
        opener.handle_hello(STRANGER, &hello(&guess.payload), seed(4)).unwrap_err(),
        JoinError::Busy
    );
    let (payload, _) = proved.welcome(&introduction("desktop"), None).unwrap();
    assert_eq!(
        joiner.handle_welcome(STRANGER, &welcome(&payload)).unwrap_err(),
        JoinError::WrongMember
    );
    joiner.handle_welcome(OPENER, &welcome(&payload)).unwrap();
    assert!(opener.handle_stored(JOINER));
    assert_eq!(opener.handle_departure(STRANGER, seed(5)), Ok(false));
    assert_eq!(joiner.handle_rejection(Rejection::WrongCode), JoinError::Unexpected);
}

fn opener_copy() -> Opener {
    opener()
}

#[test]
fn a_session_is_joined_again_and_again_with_newer_epochs() {
    let secret = SessionSecret([4; 32]);
    let mut opener = Opener::for_session(&secret, capabilities(OPENER), 5, seed(1)).unwrap();
    let mut deposits = vec![opener.deposit().to_vec()];
    let mut joins = Vec::new();
    for round in 0..5_u8 {
        // The joiner lost count; the deposit tells it.
        let mut joiner = Joiner::for_session(&secret, capabilities(JOINER), 3);
        assert_eq!(joiner.room(), opener.room());
        let (new_secret, admitted, channel) = join(&mut opener, &mut joiner, 10 + round);
        assert!(new_secret.is_none() && admitted.secret.is_none());
        assert_eq!(admitted.epoch, 6 + u64::from(round));
        assert_eq!(admitted.channel.join(), channel.join());
        assert!(!deposits.contains(&opener.deposit().to_vec()), "a nonce serves one join");
        deposits.push(opener.deposit().to_vec());
        joins.push(channel.join());
    }
    joins.dedup();
    assert_eq!(joins.len(), 5);
}

#[test]
fn a_session_hello_is_not_replayed_and_old_secrets_open_nothing() {
    let secret = SessionSecret([4; 32]);
    let mut opener = Opener::for_session(&secret, capabilities(OPENER), 0, seed(1)).unwrap();
    let mut joiner = Joiner::for_session(&secret, capabilities(JOINER), 0);
    let greeting = greet(&mut joiner, opener.deposit(), 2);
    opener.handle_hello(JOINER, &hello(&greeting.payload), seed(3)).unwrap();
    assert_eq!(
        opener.handle_hello(JOINER, &hello(&greeting.payload), seed(4)).unwrap_err(),
        JoinError::Stale
    );

    let mut other = Joiner::for_session(&SessionSecret([5; 32]), capabilities(JOINER), 0);
    assert_ne!(other.room(), opener.room());
    let theirs =
        Opener::for_session(&SessionSecret([5; 32]), capabilities(OPENER), 0, seed(1)).unwrap();
    let mut forged = hello(&greet(&mut other, theirs.deposit(), 5).payload);
    forged.answers = payload::name(opener.deposit());
    let error = opener.handle_hello(JOINER, &forged, seed(6)).unwrap_err();
    assert_eq!(error, JoinError::ProofRefused);
    assert!(!error.burns_room() && !opener.is_spent());
    // The real peer is not harmed.
    join(&mut opener, &mut Joiner::for_session(&secret, capabilities(JOINER), 0), 20);
}

#[test]
fn a_session_deposit_that_no_member_made_is_refused() {
    let secret = SessionSecret([4; 32]);
    let opener = Opener::for_session(&secret, capabilities(OPENER), 3, seed(1)).unwrap();
    let mut joiner = Joiner::for_session(&secret, capabilities(JOINER), 3);
    assert_eq!(joiner.epoch_of(opener.deposit()), Some(3));
    let stranger =
        Opener::for_session(&SessionSecret([5; 32]), capabilities(OPENER), 3, seed(1)).unwrap();
    assert_eq!(joiner.epoch_of(stranger.deposit()), None);
    let introduction = introduction("laptop");
    let refused = joiner.handle_deposit(stranger.deposit(), &introduction, None, &seed(2));
    assert_eq!(refused.unwrap_err(), JoinError::ProofRefused);
    // Whatever a host changes of a true one shows.
    for at in 0..opener.deposit().len() {
        let mut changed = opener.deposit().to_vec();
        changed[at] ^= 1;
        assert_eq!(joiner.epoch_of(&changed), None, "byte {at}");
    }
    assert!(joiner.handle_deposit(opener.deposit(), &introduction, None, &seed(2)).is_ok());
}

#[test]
fn an_older_epoch_is_refused_even_with_the_secret() {
    let secret = SessionSecret([4; 32]);
    let opener_at =
        |last| Opener::for_session(&secret, capabilities(OPENER), last, seed(1)).unwrap();
    let mut joiner = Joiner::for_session(&secret, capabilities(JOINER), 0);
    let greeting = greet(&mut joiner, opener_at(0).deposit(), 2);
    let mut hello = hello(&greeting.payload);
    // A peer that has the secret and cheats: the right transcript for the newer opener, with an old epoch.
    let mut newer = opener_at(7);
    hello.answers = payload::name(newer.deposit());
    let transcript = Transcript {
        room: newer.room(),
        deposit: newer.deposit(),
        joiner_share: &hello.share,
        joiner_capabilities: &hello.capabilities,
        epoch: hello.epoch,
    };
    hello.proof = *JoinKeys::derive(&secret.0, &transcript).joiner_proof.as_bytes();
    assert_eq!(
        newer.handle_hello(JOINER, &hello, seed(3)).unwrap_err(),
        JoinError::StaleEpoch { epoch: 1, last: 7 }
    );
}

#[test]
fn an_epoch_at_the_end_is_refused() {
    let secret = SessionSecret([4; 32]);
    let opener = Opener::for_session(&secret, capabilities(OPENER), u64::MAX, seed(1)).unwrap();
    let mut joiner = Joiner::for_session(&secret, capabilities(JOINER), 0);
    assert!(joiner.handle_deposit(opener.deposit(), &introduction(""), None, &seed(2)).is_err());
}

/// Everything a host can change in the opener's deposit makes the joiner's proof fail: the room is burnt, nobody joins.
#[test]
fn altered_deposits_are_noticed() {
    let alter = |change: &dyn Fn(&mut Deposit)| {
        let mut opener = opener();
        let mut deposit = Deposit::decode(opener.deposit()).unwrap();
        change(&mut deposit);
        let forged = crate::signal::codec::encode::<DEPOSIT_BYTES_MAX>(&deposit).unwrap();
        let greeting = right_joiner()
            .handle_deposit(&forged, &introduction("laptop"), offer(), &seed(2))
            .unwrap();
        let mut hello = hello(&greeting.payload);
        assert_eq!(
            opener.handle_hello(JOINER, &hello, seed(3)).unwrap_err(),
            JoinError::Stale,
            "honest about what it answers"
        );
        hello.answers = payload::name(opener.deposit());
        opener.handle_hello(JOINER, &hello, seed(3)).unwrap_err()
    };
    let stripped = |deposit: &mut Deposit| {
        let theirs =
            Capabilities { features: 0, ..Capabilities::decode(&deposit.capabilities).unwrap() };
        deposit.capabilities = theirs.encode().unwrap();
    };
    assert_eq!(alter(&stripped), JoinError::WrongCode, "stripped capabilities (H-06)");
    assert_eq!(alter(&|deposit| deposit.last_epoch = 9), JoinError::WrongCode);
    let substituted =
        Opener::for_code(&code("7-crane-velvet-orange"), capabilities(OPENER), 0, seed(66))
            .unwrap();
    let share = Deposit::decode(substituted.deposit()).unwrap().share;
    assert_eq!(
        alter(&|deposit| deposit.share.clone_from(&share)),
        JoinError::WrongCode,
        "substituted element"
    );
}

#[test]
fn altered_hellos_are_noticed() {
    let (opener, mut joiner) = (opener(), right_joiner());
    let honest = hello(&greet(&mut joiner, opener.deposit(), 2).payload);
    let alter = |change: &dyn Fn(&mut Hello)| {
        let mut opener = opener_copy();
        let mut altered = honest.clone();
        change(&mut altered);
        let error = opener.handle_hello(JOINER, &altered, seed(3)).unwrap_err();
        assert_eq!(error.burns_room(), opener.is_spent());
        error
    };
    let stripped = Capabilities { features: 0, ..capabilities(JOINER) }.encode().unwrap();
    assert_eq!(alter(&|hello| hello.capabilities.clone_from(&stripped)), JoinError::WrongCode);
    assert_eq!(alter(&|hello| hello.proof[0] ^= 1), JoinError::WrongCode);
    assert_eq!(alter(&|hello| hello.epoch += 1), JoinError::WrongCode);
    let another = hello(&greet(&mut right_joiner(), opener.deposit(), 30).payload);
    assert_eq!(alter(&|hello| hello.share.clone_from(&another.share)), JoinError::WrongCode);
    // What is not a guess does not burn: no element, another deposit, a damaged or foreign offer.
    assert_eq!(alter(&|hello| hello.share = vec![0; 3]), JoinError::Pake(PakeError));
    let reflected = Deposit::decode(opener.deposit()).unwrap().share;
    assert_eq!(alter(&|hello| hello.share.clone_from(&reflected)), JoinError::Pake(PakeError));
    assert_eq!(alter(&|hello| hello.answers[0] ^= 1), JoinError::Stale);
    assert_eq!(alter(&|hello| hello.first.ciphertext[40] ^= 1), JoinError::Seal(SealError::Forged));
    assert_eq!(
        alter(&|hello| hello.first = another.first.clone()),
        JoinError::Seal(SealError::OtherJoin)
    );
}

/// The fingerprint in a description cannot be swapped: whatever byte of a welcome changes, the joiner refuses it.
#[test]
fn altered_welcomes_are_noticed() {
    let mut opener = opener();
    let mut joiner = right_joiner();
    let greeting = greet(&mut joiner, opener.deposit(), 2);
    let proved = opener.handle_hello(JOINER, &hello(&greeting.payload), seed(3)).unwrap();
    let answer = SignalMessage::Answer { attempt: Attempt(1), sdp: SDP.to_owned() };
    let (payload, _) = proved.welcome(&introduction("desktop"), Some(answer)).unwrap();
    for index in 0..payload.len() {
        let mut altered = payload.clone();
        altered[index] ^= 1;
        let Ok(JoinPayload::Welcome(altered)) = JoinPayload::decode(&altered) else {
            continue;
        };
        let mut joiner = right_joiner();
        greet(&mut joiner, opener.deposit(), 2);
        assert!(joiner.handle_welcome(OPENER, &altered).is_err(), "byte {index}");
    }
    assert!(joiner.handle_welcome(OPENER, &welcome(&payload)).is_ok());
}

#[test]
fn nothing_readable_passes_the_host() {
    let (mut opener, mut joiner) = (opener(), right_joiner());
    let mut seen = opener.deposit().to_vec();
    let greeting = greet(&mut joiner, opener.deposit(), 2);
    let proved = opener.handle_hello(JOINER, &hello(&greeting.payload), seed(3)).unwrap();
    let (payload, mut channel) = proved.welcome(&introduction("desktop"), None).unwrap();
    let sealed = channel.seal(&offer().unwrap()).unwrap();
    seen.extend(greeting.payload);
    seen.extend(payload);
    seen.extend(JoinPayload::Sealed(sealed).encode().unwrap());
    for word in ["crane", "velvet", "orbit", "fingerprint", "AA:BB", "laptop", "desktop"] {
        let found = seen.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(!found, "{word} is readable");
    }
}

#[test]
fn a_member_does_not_join_itself() {
    let mut own = Joiner::for_code(&code("7-crane-velvet-orbit"), capabilities(OPENER), 0);
    let refused = own.handle_deposit(opener().deposit(), &introduction(""), None, &seed(2));
    assert_eq!(refused.unwrap_err(), JoinError::WrongMember);
}

#[test]
fn debug_shows_no_secret() {
    let (mut opener, mut joiner) = (opener(), right_joiner());
    let (_, admitted, channel) = join(&mut opener, &mut joiner, 2);
    let text = format!("{opener:?} {joiner:?} {admitted:?} {channel:?}");
    assert!(!text.contains("crane") && !text.contains('['), "{text}");
}

fn mutate(bytes: &[u8], changes: &[(usize, u8)], length: usize) -> Vec<u8> {
    let mut mutated = bytes[..length.min(bytes.len())].to_vec();
    for (index, value) in changes {
        if !mutated.is_empty() {
            let index = index % mutated.len();
            mutated[index] = *value;
        }
    }
    mutated
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let framed = [&[1, 0], bytes.as_slice()].concat();
        for bytes in [&bytes, &framed] {
            let _ = JoinPayload::decode(bytes);
            let _ = SignalMessage::decode(bytes);
            let _ = right_joiner().handle_deposit(bytes, &introduction(""), None, &seed(1));
        }
    }

    #[test]
    fn mutated_messages_never_join(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4), length in 0_usize..600) {
        let mut opener = opener();
        let mut joiner = right_joiner();
        let honest = greet(&mut joiner, opener.deposit(), 2).payload;
        let mutated = mutate(&honest, &changes, length);
        if mutated != honest && let Ok(JoinPayload::Hello(hello)) = JoinPayload::decode(&mutated) {
            prop_assert!(opener.handle_hello(JOINER, &hello, seed(3)).is_err());
        }
        let deposit = mutate(opener_copy().deposit(), &changes, length);
        let _ = right_joiner().handle_deposit(&deposit, &introduction(""), None, &seed(2));
    }
}

#[test]
fn a_carrier_needs_both() {
    for (features, is_carried) in [(0b10, false), (0b11, true)] {
        let mut opener = opener();
        let capabilities = Capabilities::new(JOINER, 65_536, features);
        let mut joiner = Joiner::for_code(&code("7-crane-velvet-orbit"), capabilities, 0);
        assert_eq!(joiner.shared_features(opener.deposit()), features);
        let greeting = greet(&mut joiner, opener.deposit(), 2);
        let proved = opener.handle_hello(JOINER, &hello(&greeting.payload), seed(3)).unwrap();
        assert_eq!(proved.carrier.is_some(), is_carried);
        let (payload, _) = proved.welcome(&introduction("desktop"), None).unwrap();
        let admitted = joiner.handle_welcome(OPENER, &welcome(&payload)).unwrap();
        assert_eq!(admitted.carrier.is_some(), is_carried);
    }
    assert_eq!(right_joiner().shared_features(b"no deposit"), 0);
}

#[test]
fn envelopes_survive_their_byte_form() {
    let (mut opener, mut joiner) = (opener(), right_joiner());
    let (_, mut admitted, mut channel) = join(&mut opener, &mut joiner, 2);
    let bytes = JoinPayload::Sealed(channel.seal(&offer().unwrap()).unwrap()).encode().unwrap();
    let Ok(JoinPayload::Sealed(envelope)) = JoinPayload::decode(&bytes) else {
        panic!("not sealed")
    };
    assert_eq!(Some(admitted.channel.open(&envelope).unwrap()), offer());
}
