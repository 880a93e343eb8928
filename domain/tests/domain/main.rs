//! The rules, seen from outside: every defect, every refusal, every edge of the shipped graph, and properties.

mod comparisons;
mod decisions;
mod defects;
mod history;
mod language;
mod machines;
mod migrations;
mod properties;
mod random;
mod reasons;
mod rules;
mod shipped;
mod support;
mod vocabulary;
mod words;
