//! placeholder

pub mod partner_sim;
pub mod template;
