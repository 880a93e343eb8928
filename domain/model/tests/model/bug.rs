//! Faults that are planted into what surrounds a decision, or into the decision's outcome: each must be found.

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A commit does not look whether the order is still at the revision that was read.
    NoRevisionCheck,
    /// The key of a fact is written after the transaction.
    KeyOutsideTransaction,
    /// A message is acknowledged before the commit.
    AcknowledgedBeforeCommit,
    /// Effects are published before the commit.
    PublishedBeforeCommit,
    /// Effects are not recorded with the move, but when they are sent.
    EffectsOutsideTransaction,
    /// An effect counts as sent before the broker has it.
    SentBeforePublished,
    /// A task's id is a new one each time it is published.
    FreshTaskIds,
    /// A process publishes what it committed although older effects of the order wait.
    OvertakesOlderEffects,
    /// Births and activations do not wait for each other.
    ActivationNotFenced,
    /// Events are decided on the active version instead of the order's own.
    ActiveVersionDecides,
    /// An order that has ended moves on.
    TerminalStateLeft,
    /// What leads to where the order has been moves it back.
    StaleMoves,
    /// A failure is taken without its reason.
    FailureWithoutReason,
    /// An early callback is acknowledged and not kept.
    ParkLost,
    /// A callback whose turn never came is settled without telling anybody.
    UnresolvedForgotten,
    /// Two payments of one ordering bring two live orders into being.
    TwoLiveOrders,
}
