use super::*;

#[test]
fn channels_have_their_own_streams() {
    let streams: std::collections::BTreeSet<_> =
        Channel::ALL.iter().map(|channel| channel.stream_id()).collect();
    assert_eq!(streams.len(), Channel::ALL.len());
    assert!(!Channel::Pulse.is_ordered());
    assert!(Channel::Control.is_ordered() && Channel::Data.is_ordered());
}
