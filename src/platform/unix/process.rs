//! Who a process is, so that another one can tell whether it still runs.

use super::boot_id;
use std::fmt;
use std::str::FromStr;

/// A process: its number is given again to others, but not with the same start in the same boot of the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    number: u32,
    /// Clock ticks from the boot to its start; 0 where the system does not say.
    started: u64,
    boot: [u8; 16],
    machine: [u8; 16],
}

impl Process {
    /// This one.
    #[must_use]
    pub fn own() -> Self {
        let number = std::process::id();
        Self { number, started: started(number).unwrap_or(0), boot: boot_id(), machine: machine() }
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Whether it runs, or runs where nothing is known about it: on another machine.
    #[must_use]
    pub fn may_run(&self) -> bool {
        let own = Self::own();
        if self.machine != own.machine {
            return true;
        }
        self.boot == own.boot && started(self.number) == Some(self.started)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hexadecimal = |bytes: &[u8; 16]| u128::from_be_bytes(*bytes);
        let (boot, machine) = (hexadecimal(&self.boot), hexadecimal(&self.machine));
        writeln!(to, "{} {} {boot:032x} {machine:032x}", self.number, self.started)
    }
}

impl FromStr for Process {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // A line that was cut names nobody.
        let mut words = text.strip_suffix('\n').ok_or(())?.split(' ');
        let mut word = || words.next().ok_or(());
        let bytes = |word: &str| u128::from_str_radix(word, 16).map(u128::to_be_bytes);
        let number = word()?.parse().map_err(|_| ())?;
        let started = word()?.parse().map_err(|_| ())?;
        let (boot, machine) = (bytes(word()?).map_err(|_| ())?, bytes(word()?).map_err(|_| ())?);
        Ok(Self { number, started, boot, machine })
    }
}

/// When a process of this machine started; `None` if there is none.
fn started(number: u32) -> Option<u64> {
    let stat = match std::fs::read_to_string(format!("/proc/{number}/stat")) {
        Ok(stat) => stat,
        Err(error) => {
            // Without /proc a signal that does nothing tells whether there is one.
            let is_there = !std::path::Path::new("/proc/self/stat").exists()
                && error.kind() == std::io::ErrorKind::NotFound
                && i32::try_from(number)
                    .ok()
                    .and_then(rustix::process::Pid::from_raw)
                    .is_some_and(|process| rustix::process::test_kill_process(process).is_ok());
            return is_there.then_some(0);
        }
    };
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// This machine, across its boots; zeros where it has no identity.
fn machine() -> [u8; 16] {
    let mut id = [0; 16];
    if let Ok(text) = std::fs::read("/etc/machine-id") {
        id.copy_from_slice(&blake3::hash(&text).as_bytes()[..16]);
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_its_successors() {
        let own = Process::own();
        assert_eq!(own.to_string().parse(), Ok(own));
        assert!(own.may_run());
        assert!(!Process { started: own.started + 1, ..own }.may_run());
        assert!(!Process { boot: [0; 16], ..own }.may_run());
        assert!(Process { boot: [0; 16], machine: [7; 16], ..own }.may_run(), "another machine's");
        assert_eq!("12 13 ab".parse::<Process>(), Err(()));
    }
}
