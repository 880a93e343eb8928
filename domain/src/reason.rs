//! The closed lists of reasons that a failure or a cancellation always has.
