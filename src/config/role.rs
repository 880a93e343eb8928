//! What a process is for decides what it must be told.

/// What a process does, as far as its settings are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `waybill demo`.
    Demo,
    /// `waybill serve`.
    Serve,
    /// `waybill work`.
    Work,
    /// `waybill all`.
    All,
    /// `waybill beat`.
    Beat,
    /// `waybill migrate`.
    Migrate,
    /// Commands that look into the database: dead, audit, status, send, the graph's publishing.
    Operator,
    /// `waybill token`: only the signing key.
    Token,
    /// `config show`, `doctor`, `graph check`: whatever is set, nothing demanded and nothing made.
    Show,
}

impl Role {
    /// Whether the in-process transport can serve it: only where one process does everything.
    pub(super) fn takes_local_broker(self) -> bool {
        !matches!(self, Self::Serve | Self::Work | Self::Beat)
    }

    /// Whether it books partners or takes their callbacks.
    pub(super) fn meets_partners(self) -> bool {
        matches!(self, Self::Demo | Self::Serve | Self::Work | Self::All)
    }

    /// Whether it checks or makes API tokens.
    pub(super) fn checks_tokens(self) -> bool {
        matches!(self, Self::Demo | Self::Serve | Self::All | Self::Token)
    }

    /// Whether it reads or writes what is encrypted. Migrating makes the key of a new file, so that no database file
    /// is without one.
    pub(super) fn reads_data(self) -> bool {
        matches!(self, Self::Demo | Self::Serve | Self::Work | Self::All | Self::Operator)
    }
}
