//! Why a file gives no facts. Knows no addresses of processes.

/// Why a file, or a part of it, cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SymbolError {
    /// It is no ELF file of a kind that is read here, or is cut off.
    #[error("no usable ELF file: {0}")]
    NotElf(String),
    /// It cannot be opened or mapped.
    #[error("cannot open {0}: {1}")]
    Open(String, String),
    /// A regular expression has a mistake.
    #[error("no regular expression: {0:?}: {1}")]
    Pattern(String, String),
}

/// The outcome of reading a file.
pub type Result<T> = std::result::Result<T, SymbolError>;
