//! Waybill: from a paid ordering of books to its confirmed delivery.
//!
//! The domain decides, the engine records, tasks act, webhooks listen, the API answers.

pub mod partner_sim;
pub mod template;
pub mod store;
