//! The Celery-compatible worker, the client of the delivery partner, and the effects of Waybill.

pub mod celery;
pub mod effects;
pub mod orders;
pub mod partner;
