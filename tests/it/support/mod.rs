//! What tests share: seeded randomness, model disks, the simulator, real processes.

pub mod model_source;
pub mod model_target;
pub mod random;
pub mod sim;
