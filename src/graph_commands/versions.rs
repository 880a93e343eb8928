//! `graph publish`, `activate`, `retire` and `versions`: the life of a version in the database.
//!
//! Published is what the database keeps, for ever; active is what new orders are born with; draining is what orders still live on;
//! retired is what nobody will be on again.

use std::collections::BTreeMap;
use std::io::Write;

use waybill_domain::GraphVersion;

use super::{GraphCommandError, Verdict};
use crate::store::{Activated, Activation, Retirement, Store};
use crate::template::{Lock, Share, Template};

/// Keeps every version of a template in the database. One that was published with other content is refused, and nothing is kept.
pub async fn publish(
    store: &Store,
    template: &Template,
    lock: Option<&Lock>,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, GraphCommandError> {
    if let Some(Err(error)) = lock.map(|lock| lock.check(template, "template")) {
        writeln!(out, "{error}")?;
        return Ok(Verdict::Bad);
    }
    for published in template.published() {
        let (machine, version) = (published.graph().machine().as_str(), published.graph().version());
        let before = store.published_versions(machine).await?;
        let kept = before
            .iter()
            .find(|(kept, ..)| *kept == version)
            .map(|(_, sha256, ..)| sha256.as_str());
        if kept.is_some_and(|kept| kept != published.sha256()) {
            let kept = kept.unwrap_or_default();
            writeln!(
                out,
                "{machine} version {version} was published with sha256 {kept}: publish a new version instead"
            )?;
            return Ok(Verdict::Bad);
        }
    }
    for published in template.published() {
        let graph = published.graph();
        let document = serde_json::to_value(graph.document()).map_err(std::io::Error::from)?;
        let (machine, version) = (graph.machine().as_str(), graph.version());
        store
            .keep_version(machine, version.0, published.sha256(), document)
            .await?;
        writeln!(
            out,
            "{machine} version {version} is published, sha256 {}",
            published.sha256()
        )?;
    }
    Ok(Verdict::Good)
}

/// Lets new orders be born with these versions, from the moment on that this answers, on every node.
pub async fn activate(
    store: &Store,
    machine: &str,
    shares: &[Share],
    by: &str,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, GraphCommandError> {
    let sum: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    let distinct = shares.first().map(|share| share.version) != shares.get(1).map(|share| share.version);
    if !(1..=2).contains(&shares.len()) || sum != 100 || !distinct {
        writeln!(
            out,
            "expected one or two versions whose weights sum up to 100, such as 1=90 2=10"
        )?;
        return Ok(Verdict::Bad);
    }
    let (verdict, told) = match store.activate(machine, shares, by).await? {
        Activated::Revision(revision) => {
            let shares: Vec<String> = shares
                .iter()
                .map(|it| format!("{} % on version {}", it.weight, it.version))
                .collect();
            (
                Verdict::Good,
                format!("new orders: {}; revision {revision}", shares.join(", ")),
            )
        }
        Activated::Refused(refused) => (Verdict::Bad, refused.to_string()),
    };
    writeln!(out, "{machine}: {told}")?;
    Ok(verdict)
}

/// Retires a version for ever; refused while orders live on it or are born with it.
pub async fn retire(
    store: &Store,
    machine: &str,
    version: GraphVersion,
    by: &str,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, GraphCommandError> {
    let (verdict, told) = match store.retire(machine, version, by).await? {
        Retirement::Done => (Verdict::Good, "is retired".to_owned()),
        Retirement::Live(count) => (Verdict::Bad, format!("is not retired: {count} orders live on it")),
        Retirement::Active => (Verdict::Bad, "is not retired: new orders are born with it".to_owned()),
        Retirement::Unpublished => (Verdict::Bad, "is not published".to_owned()),
    };
    writeln!(out, "{machine} version {version} {told}")?;
    Ok(verdict)
}

/// Lists the versions of a machine: where each stands in its life, and how many orders live on it.
pub async fn versions(
    store: &Store,
    machine: &str,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, GraphCommandError> {
    let activation = store.activation(machine).await?;
    let mut live: BTreeMap<GraphVersion, i64> = BTreeMap::new();
    let graphs: BTreeMap<GraphVersion, _> = store
        .published_versions(machine)
        .await?
        .into_iter()
        .map(|(version, sha256, document, is_retired)| (version, (sha256, document, is_retired)))
        .collect();
    for (of, version, _, state, count) in store.version_counts().await? {
        let version = GraphVersion(u32::try_from(version).unwrap_or_default());
        let ends = |document: &serde_json::Value| {
            state
                .as_ref()
                .is_some_and(|state| document["states"][state]["kind"] == "terminal")
        };
        if of == machine && graphs.get(&version).is_some_and(|(_, document, _)| !ends(document)) {
            *live.entry(version).or_default() += count;
        }
    }
    for (version, (sha256, _, is_retired)) in &graphs {
        let live = live.get(version).copied().unwrap_or_default();
        let stands = standing(activation.as_ref(), *version, *is_retired, live);
        writeln!(
            out,
            "{machine} version {version}: {stands}, {live} orders live on it, sha256 {sha256}"
        )?;
    }
    Ok(Verdict::Good)
}

/// Where a version stands in its life.
fn standing(activation: Option<&Activation>, version: GraphVersion, is_retired: bool, live: i64) -> String {
    let shares = activation
        .map(|activation| activation.shares.as_slice())
        .unwrap_or_default();
    match shares.iter().find(|share| share.version == version) {
        _ if is_retired => "retired".to_owned(),
        Some(share) => format!("active for {} % of new orders", share.weight),
        None if live > 0 => "draining".to_owned(),
        None => "published".to_owned(),
    }
}
