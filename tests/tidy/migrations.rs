//! Migrations go forward, on both databases alike.

use crate::repository::{files, keep};

fn migrations(database: &str) -> Vec<String> {
    let folder = format!("migrations/{database}/");
    files()
        .iter()
        .filter_map(|file| file.path.strip_prefix(&folder).map(str::to_owned))
        .collect()
}

#[test]
fn both_databases_have_the_same_migrations() {
    assert_eq!(
        migrations("postgres"),
        migrations("sqlite"),
        "migrations/postgres and migrations/sqlite"
    );
    assert!(!migrations("sqlite").is_empty(), "there are migrations");
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let numbered = migrations("sqlite").into_iter().zip(1_u32..);

    let broken = numbered.filter(|(name, number)| !name.starts_with(&format!("{number:04}_")));

    keep("NNNN_what.sql, from 0001 on", broken.map(|(name, _)| name).collect());
}

#[test]
fn migrations_only_go_forward() {
    let all = migrations("postgres").into_iter().chain(migrations("sqlite"));

    let broken = all.filter(|name| !name.ends_with(".sql") || name.ends_with(".down.sql") || name.ends_with(".up.sql"));

    keep("a migration is one file, and there is no way back", broken.collect());
}
