//! What of the file system a run can reach once it has begun: the table, and Landlock, which holds the process to it.
//!
//! Defence in depth: what guards the target and the source is `store` with its handles; this is for the fault that nobody
//! knows yet. A process confines itself before it has a second thread, since a thread that was there before is not confined.
//! What it needs is known by then: [`table`] is that, as a value, and `docs/confinement.md` the same for people. A feature
//! that opens something else adds a row to both.
//!
//! Nothing can be executed any more: commands of the user are run by [`crate::helper`], which is started before.

#[cfg(target_os = "linux")]
mod landlock;
mod table;

pub use table::{Access, Plan, Row, table};

/// Holds this thread, and all that it starts, to `rows`, for good.
///
/// # Errors
/// Why it is not confined, as the end of a sentence: the kernel has no Landlock or an old one, or a disk does not go with it.
pub fn confine(rows: &[Row]) -> Result<(), String> {
    #[cfg(target_os = "linux")]
    return landlock::confine(rows);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = rows;
        Err("this system has no Landlock".to_owned())
    }
}
