//! The demo's hand on the network of its children: they cut their own cable when it says so.
//!
//! A child listens only where the demo started it with [`VARIABLE`], and then to its standard input, a pipe that nobody
//! but the demo holds.

use std::io::Read as _;
use std::time::Duration;

use rejoin::environment;
use rejoin::link::cable;
use rejoin::options::Timing;

/// Tells a child that it is one: bytes a second of its cable.
pub(super) const VARIABLE: &str = "REJOIN_DEMO_CABLE";
/// What the demo writes to cut the cable, and to mend it.
pub(super) const CUT: u8 = b'x';
pub(super) const MEND: u8 = b'o';

/// Between two pings of a child: nobody wants to watch for 20 s how a link is found dead.
const PING_INTERVAL: Duration = Duration::from_millis(300);

/// Follows the demo, where this process is a child of it; how it then keeps its link.
pub(crate) fn follow() -> Option<Timing> {
    let rate = environment::text(VARIABLE)?.parse().ok()?;
    cable::thin(rate);
    let follower = std::thread::Builder::new().name("demo-cable".to_owned());
    follower
        .spawn(|| {
            for order in std::io::stdin().lock().bytes().map_while(Result::ok) {
                cable::cut(order == CUT);
            }
            // Whoever cut it is gone.
            cable::cut(false);
        })
        .ok()?;
    Some(Timing { ping_interval: PING_INTERVAL, ..Timing::default() })
}
