//! One room: who is in it, who is briefly away, and who may talk to whom.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{ConnectionId, Limits};
use crate::signal::keys::{MemberToken, derive};
use crate::signal::protocol::RefusalReason;
use crate::signal::subscriber::Subscriber;
use crate::time::Instant;
use crate::wire::MemberId;

/// A session is a pair.
pub(super) const SESSION_MEMBERS_MAX: usize = 2;

/// A member and its proof of being the same as before.
pub(super) type Sender<'a> = (MemberId, &'a MemberToken);

#[derive(Debug)]
pub(super) struct Room {
    /// To whom it counts.
    owner: Subscriber,
    /// The member that opened it, if it is a code's.
    opener: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    deposit: Option<(MemberId, Vec<u8>)>,
    locked: bool,
    opened: Instant,
    /// Since when nobody is connected.
    deserted: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    token_hash: [u8; 32],
    from: Subscriber,
    /// Whether its try at the number counts as a miss until the code is used.
    is_miss: bool,
    presence: Presence,
    /// Relayed while it was away; delivered once it knows that it is in again.
    queue: VecDeque<(MemberId, Vec<u8>)>,
}

#[derive(Debug)]
enum Presence {
    Here(ConnectionId),
    Away { since: Instant },
}

/// What a removed member leaves behind.
pub(super) struct Removed {
    pub(super) connection: Option<ConnectionId>,
    pub(super) queued_bytes: usize,
    pub(super) queued_messages: u64,
}

impl Room {
    pub(super) const fn new(opener: Option<MemberId>, owner: Subscriber, now: Instant) -> Self {
        Self {
            owner,
            opener,
            members: BTreeMap::new(),
            deposit: None,
            locked: false,
            opened: now,
            deserted: Some(now),
        }
    }

    pub(super) const fn owner(&self) -> Subscriber {
        self.owner
    }

    pub(super) const fn opener(&self) -> Option<MemberId> {
        self.opener
    }

    pub(super) const fn is_locked(&self) -> bool {
        self.locked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn members(&self) -> Vec<MemberId> {
        self.members.keys().copied().collect()
    }

    pub(super) fn is_opener(&self, who: Sender<'_>) -> bool {
        self.opener == Some(who.0) && self.is_member(who)
    }

    /// Whether its opener is away, for a moment or for good.
    pub(super) fn is_forsaken(&self) -> bool {
        self.opener.is_some_and(|opener| self.connection_of(opener).is_none())
    }

    pub(super) fn is_member(&self, (member, token): Sender<'_>) -> bool {
        self.members.get(&member).is_some_and(|known| known.proves(token))
    }

    /// Lets a member in, or in again; the connection it had before, if it had one.
    pub(super) fn admit(
        &mut self,
        (connection, from): (ConnectionId, Subscriber),
        (id, token): Sender<'_>,
        limits: &Limits,
    ) -> Result<Option<ConnectionId>, RefusalReason> {
        let here = Presence::Here(connection);
        let has_place = self.has_place(from, limits);
        let before = match self.members.get_mut(&id) {
            Some(member) if !member.proves(token) => return Err(RefusalReason::WrongToken),
            Some(member) => std::mem::replace(&mut member.presence, here),
            None if !has_place => return Err(RefusalReason::RoomFull),
            None => {
                let (token_hash, queue) = (hash(token), VecDeque::new());
                let member = Member { token_hash, from, is_miss: false, presence: here, queue };
                self.members.insert(id, member);
                self.deserted = None;
                return Ok(None);
            }
        };
        self.deserted = None;
        Ok(before.connection())
    }

    /// Whether one more member fits. In a code room, which strangers find, an address does not get all places.
    fn has_place(&self, from: Subscriber, limits: &Limits) -> bool {
        if self.opener.is_none() {
            return self.members.len() < SESSION_MEMBERS_MAX;
        }
        let neighbours = from.address().map_or(0, |address| {
            let is_there = |member: &&Member| member.from.address() == Some(address);
            self.members.values().filter(is_there).count()
        });
        self.members.len() < limits.members_max && neighbours < limits.members_per_address_max
    }

    /// The member's try at the number counts as a miss.
    pub(super) fn set_miss(&mut self, member: MemberId) {
        if let Some(member) = self.members.get_mut(&member) {
            member.is_miss = true;
        }
    }

    /// Whose tries were none after all: the code was used.
    pub(super) fn take_misses(&mut self, keep: MemberId) -> Vec<Subscriber> {
        let used = [Some(keep), self.opener];
        let mut forgiven = Vec::new();
        for (id, member) in &mut self.members {
            if used.contains(&Some(*id)) && std::mem::take(&mut member.is_miss) {
                forgiven.push(member.from);
            }
        }
        forgiven
    }

    pub(super) fn member_of(&self, connection: ConnectionId) -> Option<MemberId> {
        self.members
            .iter()
            .find(|(_, member)| member.presence.connection() == Some(connection))
            .map(|(id, _)| *id)
    }

    pub(super) fn connection_of(&self, member: MemberId) -> Option<ConnectionId> {
        self.members.get(&member).and_then(|member| member.presence.connection())
    }

    /// Whether the two know of each other: in a code room only with the opener.
    pub(super) fn may_talk(&self, from: MemberId, to: MemberId) -> bool {
        let star = self.opener.is_none_or(|opener| opener == from || opener == to);
        star && from != to && self.members.contains_key(&to)
    }

    /// Connected members that `member` may know of.
    pub(super) fn present_peers(&self, member: MemberId) -> Vec<MemberId> {
        let present = self.members.iter().filter(|(id, peer)| {
            peer.presence.connection().is_some() && self.may_talk(member, **id)
        });
        present.map(|(id, _)| *id).collect()
    }

    /// Their connections.
    pub(super) fn audience(&self, member: MemberId) -> Vec<ConnectionId> {
        self.present_peers(member).into_iter().filter_map(|peer| self.connection_of(peer)).collect()
    }

    /// The deposit for a member to answer: never its own.
    pub(super) fn deposit_for(&self, member: MemberId) -> Option<(MemberId, Vec<u8>)> {
        self.deposit.clone().filter(|(from, _)| *from != member)
    }

    /// Keeps a deposit; whether it is a new one. In a code room only the opener has one.
    pub(super) fn set_deposit(
        &mut self,
        member: MemberId,
        deposit: Vec<u8>,
    ) -> Result<bool, RefusalReason> {
        if self.opener.is_some_and(|opener| opener != member) {
            return Err(RefusalReason::NotPermitted);
        }
        let deposit = Some((member, deposit));
        let changed = self.deposit != deposit;
        self.deposit = deposit;
        Ok(changed)
    }

    /// Its opener comes back with a deposit. Another one than before is that of a new run, which has the whole lifetime of a
    /// code for it.
    pub(super) fn renew(&mut self, member: MemberId, deposit: &[u8], now: Instant) {
        let is_known = |(from, known): &(MemberId, Vec<u8>)| *from == member && known == deposit;
        if !self.deposit.as_ref().is_some_and(is_known) {
            self.opened = now;
        }
    }

    /// Keeps a payload for an absent member; the size of the one that was dropped for it.
    pub(super) fn enqueue(
        &mut self,
        to: MemberId,
        from: MemberId,
        payload: Vec<u8>,
        limit: usize,
    ) -> Option<usize> {
        let queue = &mut self.members.get_mut(&to)?.queue;
        queue.push_back((from, payload));
        if queue.len() > limit { queue.pop_front().map(|(_, dropped)| dropped.len()) } else { None }
    }

    /// Bytes of what is kept for its members.
    pub(super) fn queued_bytes(&self) -> usize {
        let queues = self.members.values().map(|member| &member.queue);
        queues.flatten().map(|(_, payload)| payload.len()).sum()
    }

    /// What was kept for a member, oldest first.
    pub(super) fn take_queue(&mut self, member: MemberId) -> VecDeque<(MemberId, Vec<u8>)> {
        self.members
            .get_mut(&member)
            .map(|member| std::mem::take(&mut member.queue))
            .unwrap_or_default()
    }

    pub(super) fn set_absent(&mut self, member: MemberId, now: Instant) {
        if let Some(member) = self.members.get_mut(&member) {
            member.presence = Presence::Away { since: now };
        }
        if self.members.values().all(|member| member.presence.connection().is_none()) {
            self.deserted = Some(now);
        }
    }

    /// Marks the code as used; the members that have no business here any more.
    pub(super) fn lock(&mut self, keep: MemberId) -> Vec<MemberId> {
        self.locked = true;
        let opener = self.opener;
        self.members
            .keys()
            .copied()
            .filter(|member| *member != keep && Some(*member) != opener)
            .collect()
    }

    pub(super) fn remove(&mut self, member: MemberId) -> Option<Removed> {
        let removed = self.members.remove(&member)?;
        if self.deposit.as_ref().is_some_and(|(from, _)| *from == member) {
            self.deposit = None;
        }
        Some(Removed {
            connection: removed.presence.connection(),
            queued_bytes: removed.queue.iter().map(|(_, payload)| payload.len()).sum(),
            queued_messages: removed.queue.len() as u64,
        })
    }

    /// Nobody was connected for the lease, or the code was not used in its lifetime.
    pub(super) fn is_expired(&self, limits: &Limits, now: Instant) -> bool {
        let deserted = self
            .deserted
            .is_some_and(|since| now.saturating_duration_since(since) >= limits.room_lease);
        let unused = self.opener.is_some()
            && !self.locked
            && limits
                .code_lifetime
                .is_some_and(|lifetime| now.saturating_duration_since(self.opened) >= lifetime);
        deserted || unused
    }

    /// Members that were away too long.
    pub(super) fn long_absent(&self, absence: Duration, now: Instant) -> Vec<MemberId> {
        let over = |member: &Member| match &member.presence {
            Presence::Here(_) => false,
            Presence::Away { since } => now.saturating_duration_since(*since) >= absence,
        };
        self.members.iter().filter(|(_, member)| over(member)).map(|(id, _)| *id).collect()
    }
}

impl Presence {
    const fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Here(connection) => Some(*connection),
            Self::Away { .. } => None,
        }
    }
}

impl Member {
    /// In constant time: a hash compared as BLAKE3 compares.
    fn proves(&self, token: &MemberToken) -> bool {
        blake3::Hash::from(self.token_hash) == blake3::Hash::from(hash(token))
    }
}

fn hash(token: &MemberToken) -> [u8; 32] {
    derive("rejoin 2026 v1 member token hash", &token.0, &[])
}
