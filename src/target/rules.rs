//! What a person has decided about all processes of a session: it outlives each of them and is lent to all. Decides
//! nothing itself.

use super::catch::Catches;
use super::signals::SignalTable;

/// The rules that hold for every process of a session.
#[derive(Debug, Default)]
pub struct Rules {
    /// What is done with each signal.
    pub signals: SignalTable,
    /// What is caught.
    pub catches: Catches,
}
