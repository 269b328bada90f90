//! A sender whose receiver says anything, in any state, over any number of links.

use crate::support::model_source::{ModelSource, Node, Tree};
use arbitrary::{Result, Unstructured};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::manifest::Chain;
use rejoin::transfer::message::{ByeReason, Message, RecoveryRequest, UnitHead, WireRanges};
use rejoin::transfer::missing::{Missing, MissingKind, Outcome};
use rejoin::transfer::ranges::Ranges;
use rejoin::transfer::sender::{Sender, SenderOutput};
use rejoin::wire::SessionId;
use rejoin::wire::frame::{Assembler, Frame};
use std::cell::RefCell;

const SESSION: SessionId = SessionId([7; 16]);

thread_local! {
    /// Made once, as it is hashed.
    static TREE: RefCell<Option<Tree>> = const { RefCell::new(None) };
}

fn source() -> ModelSource {
    let tree = TREE.with_borrow_mut(|tree| {
        tree.get_or_insert_with(|| {
            let mut tree = Tree::new();
            tree.insert(b"d".to_vec(), Node::Directory);
            tree.insert(b"d/large".to_vec(), Node::File(vec![5; UNIT_BYTES as usize + 9]));
            tree.insert(b"d/link".to_vec(), Node::Symlink(b"small".to_vec()));
            tree.insert(b"d/small".to_vec(), Node::File(b"hello".to_vec()));
            tree.insert(b"empty".to_vec(), Node::File(Vec::new()));
            tree.insert(b"other".to_vec(), Node::File(b"other".to_vec()));
            tree
        })
        .clone()
    });
    ModelSource::new(tree, SESSION, 3)
}

struct World {
    source: ModelSource,
    sender: Sender,
    assembler: Assembler,
    body_bytes: u64,
    said: u64,
    is_over: bool,
}

pub(super) fn run(data: &[u8]) {
    let mut world = World {
        source: source(),
        sender: Sender::new(SESSION),
        assembler: Assembler::new(),
        body_bytes: 0,
        said: 0,
        is_over: false,
    };
    let _ = world.follow(&mut Unstructured::new(data));
    // A message of a few bytes has the tree sent once more, at most.
    assert!(world.body_bytes <= (1 + world.said) * world.source.totals.bytes);
}

impl World {
    fn follow(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let mut reports = self.source.reports().into_iter();
        // The scan goes on while the receiver speaks already.
        for report in reports.by_ref().take(input.int_in_range(0..=3)?) {
            self.sender.handle_scan(report);
        }
        self.sender.handle_link_up(input.arbitrary()?);
        self.drain();
        while !input.is_empty() && !self.is_over {
            match input.int_in_range(0..=15)? {
                0 => {
                    self.sender.handle_link_down();
                    self.assembler = Assembler::new();
                    self.sender.handle_link_up(input.arbitrary()?);
                }
                1 => {
                    if let Some(report) = reports.next() {
                        self.sender.handle_scan(report);
                    }
                }
                2 => self.sender.handle_body(),
                3 => {
                    let length = input.int_in_range(0..=64)?;
                    if let Ok(message) = Message::decode(input.bytes(length.min(input.len()))?) {
                        self.say(message);
                    }
                }
                4 => self.source.lose_values(),
                _ => {
                    let message = message(input, &self.source)?;
                    // What the codec refuses never reaches a machine.
                    if message.encode().is_ok() {
                        self.say(message);
                    }
                }
            }
            self.drain();
        }
        Ok(())
    }

    fn say(&mut self, message: Message) {
        self.said += 1;
        self.sender.handle_message(message);
    }

    fn drain(&mut self) {
        loop {
            while let Some(output) = self.sender.poll_output() {
                match output {
                    SenderOutput::Disk(request) => {
                        let reply = self.source.handle(request);
                        self.sender.handle_disk(reply);
                    }
                    SenderOutput::Send(_, message) => {
                        message.encode().expect("messages of ours fit");
                    }
                    SenderOutput::Done | SenderOutput::Failed(_) => self.is_over = true,
                    SenderOutput::Event(_) | SenderOutput::Answered { .. } => {}
                }
            }
            let Some(frame) = self.sender.poll_frame() else { return };
            match self.assembler.handle_frame(&frame).expect("frames of ours are good") {
                Some(Frame::Message(bytes)) => {
                    let message = Message::decode(&bytes).expect("messages of ours are good");
                    self.check(&message);
                }
                Some(Frame::Body(body)) => self.body_bytes += body.len() as u64,
                None => {}
            }
        }
    }

    /// Nothing is offered but entries of the manifest.
    fn check(&self, message: &Message) {
        let entries = self.source.totals.entries;
        if let Message::Unit { head, .. } = message {
            match head {
                UnitHead::Part { entry, .. } => assert!(*entry < entries),
                UnitHead::Pack { files } => {
                    assert!(files.iter().all(|(entry, _)| *entry < entries))
                }
            }
        }
    }
}

fn ranges(input: &mut Unstructured<'_>) -> Result<WireRanges> {
    let mut ranges = Ranges::new();
    for _ in 0..input.int_in_range(0..=3)? {
        let index =
            if input.ratio(7, 8)? { input.int_in_range(0..=9)? } else { input.arbitrary()? };
        if index < u64::MAX {
            ranges.insert(index);
        }
    }
    Ok(WireRanges::from(&ranges))
}

/// Mostly a small one.
fn number(input: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match input.int_in_range(0..=9)? {
        0 => input.arbitrary()?,
        1 => u64::MAX,
        _ => input.int_in_range(0..=8)?,
    })
}

fn value(input: &mut Unstructured<'_>, source: &ModelSource) -> Result<[u8; 32]> {
    let known = source.roots.values().nth(input.int_in_range(0..=7)?).copied();
    Ok(known.unwrap_or([input.arbitrary()?; 32]))
}

fn pairs(input: &mut Unstructured<'_>, source: &ModelSource) -> Result<Vec<(u64, [u8; 32])>> {
    let count = input.int_in_range(0..=4)?;
    (0..count).map(|_| Ok((number(input)?, value(input, source)?))).collect()
}

fn message(input: &mut Unstructured<'_>, source: &ModelSource) -> Result<Message> {
    Ok(match input.int_in_range(0..=14)? {
        0..=3 => {
            let pages = input.int_in_range(0..=3_u64)?;
            let mut chain = Chain::start(SESSION);
            for page in source.pages.iter().take(pages as usize) {
                chain = chain.extend(&page.encoded);
            }
            Message::RecoveryRequest(RecoveryRequest {
                session: if input.ratio(9, 10)? { SESSION } else { SessionId([1; 16]) },
                epoch: input.int_in_range(0..=4)?,
                pages: if input.ratio(9, 10)? { pages } else { number(input)? },
                chain,
                undecided: ranges(input)?,
                unwanted: ranges(input)?,
                units: ranges(input)?,
                digests: pairs(input, source)?,
            })
        }
        4 | 5 => {
            Message::Want { page: number(input)?, unwanted: ranges(input)?, units: ranges(input)? }
        }
        6 => Message::Resend { unit: number(input)?, unwanted: ranges(input)? },
        7 => Message::Ack { units: ranges(input)? },
        8 => Message::Complete {
            outcome: Outcome { files: number(input)?, bytes: number(input)?, ..Outcome::default() },
        },
        9 => Message::Compare { page: number(input)?, entries: ranges(input)? },
        10 => Message::BucketEntries { bucket: number(input)?, files: pairs(input, source)? },
        11 => Message::Missing {
            entries: vec![Missing {
                entry: number(input)?,
                parent: input.arbitrary()?,
                name: b"x".to_vec(),
                kind: MissingKind::Refused,
                reason: String::new(),
            }],
        },
        12 => Message::Ping { number: number(input)? },
        13 => Message::Bye { reason: ByeReason::Stopped, text: String::new() },
        _ => Message::Pong { number: number(input)? },
    })
}
