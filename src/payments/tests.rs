//! What payment events say, and what is wrong with them.
