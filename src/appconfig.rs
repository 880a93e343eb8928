//! Graph versions and routing from an AppConfig agent on this host: the third source, after the template and the database.
//!
//! One HTTP GET each; the agent caches, so asking often costs nothing. What it serves is kept in the database if it is a version that
//! nobody has seen before, and refused if it is not what was published: the database is the last good state, and stays.

use std::time::Duration;

use reqwest::{Client, StatusCode, redirect};
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use url::Url;
use waybill_domain::{GraphVersion, MachineName};

use crate::config::AppConfigUrl;
use crate::engine::Engine;
use crate::store::{Activation, Adoption, DbError, NotActivated, Store, read_graph};
use crate::template::{Routing, sha256_of};

/// How often the agent is asked.
const EVERY: Duration = Duration::from_secs(15);
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// AppConfig serves no more than a megabyte.
const LARGEST: usize = 1 << 20;

/// An agent, with the machines that it serves.
#[derive(Debug, Clone)]
pub struct AppConfig {
    sources: Vec<Source>,
}

/// Where the graphs of a machine are served.
#[derive(Debug, Clone)]
pub struct Source {
    machine: MachineName,
    environment: Url,
    http: Client,
}

/// Why something that the agent serves is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It does not answer, or not with 200.
    #[error("{profile} is not served: {cause}")]
    Unreachable {
        /// Which profile.
        profile: String,
        /// What came instead.
        cause: String,
    },
    /// It is no graph and no routing.
    #[error("{profile} is not what it should be: {cause}")]
    Malformed {
        /// Which profile.
        profile: String,
        /// What is wrong.
        cause: String,
    },
    /// A version was published before with other content.
    #[error("{machine} version {version} was published with sha256 {kept}, AppConfig serves {found}")]
    Changed {
        /// Of which machine.
        machine: MachineName,
        /// Which version.
        version: GraphVersion,
        /// What the database keeps.
        kept: String,
        /// What is served.
        found: String,
    },
    /// The routing cannot be followed.
    #[error("routing {revision} of {machine} is not followed: {cause}")]
    NotFollowed {
        /// Of which machine.
        machine: MachineName,
        /// Its revision.
        revision: u32,
        /// Why.
        cause: NotActivated,
    },
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Store(#[from] DbError),
}

impl NotTaken {
    /// A short name, for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Malformed { .. } => "malformed",
            Self::Changed { .. } => "changed",
            Self::NotFollowed {
                cause: NotActivated::Unpublished(_),
                ..
            } => "version-unknown",
            Self::NotFollowed { .. } => "not-followed",
            Self::Store(_) => "store",
        }
    }
}

/// A graph that is served: its version, its hash, its document.
struct Served {
    version: GraphVersion,
    sha256: String,
    document: Json,
}

impl AppConfig {
    /// The agent of these environments. Needs a process-wide TLS provider.
    pub fn new(AppConfigUrl(environments): AppConfigUrl) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(LIMIT)
            .build()?;
        let sources = environments.into_iter().map(|it| Source {
            machine: it.machine.into(),
            environment: it.url,
            http: http.clone(),
        });
        Ok(Self {
            sources: sources.collect(),
        })
    }

    /// One a machine.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Asks again and again until `stop`; an alarm rings as long as something is not taken.
    pub async fn follow(self, engine: Engine, stop: CancellationToken) {
        let mut before = Vec::new();
        loop {
            let refused = self.take(&engine).await;
            let told: Vec<String> = refused.iter().map(ToString::to_string).collect();
            let count = u32::try_from(refused.len()).unwrap_or(u32::MAX);
            metrics::gauge!("appconfig_refused").set(f64::from(count));
            for refusal in &refused {
                metrics::counter!("appconfig_refusals_total", "reason" => refusal.code()).increment(1);
            }
            // Once for each thing that is wrong, however often it is found.
            for line in told.iter().filter(|line| !before.contains(*line)) {
                error!("AppConfig: {line}; what was good before stays");
            }
            if told.is_empty() && !before.is_empty() {
                info!("AppConfig: everything that it serves is taken again");
            }
            before = told;
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Takes what is served: keeps new versions, follows newer routings. Answers what is not taken.
    pub async fn take(&self, engine: &Engine) -> Vec<NotTaken> {
        let store = engine.store();
        let mut refused = Vec::new();
        for source in &self.sources {
            refused.extend(source.take_graph(store).await.err());
            refused.extend(source.take_routing(store).await.err());
        }
        refused
    }
}

impl Source {
    /// Whose graphs they are.
    pub fn machine(&self) -> &MachineName {
        &self.machine
    }

    /// The profile of the graphs, as the machine's template names it; that of the routing has `-routing` behind it.
    fn profile(&self) -> String {
        let machine = self.machine.as_str();
        format!("{}-graph", machine.strip_suffix("-order").unwrap_or(machine))
    }

    async fn take_graph(&self, store: &Store) -> Result<(), NotTaken> {
        let served = self.graph().await?;
        if self.compare(store, &served).await? {
            return Ok(());
        }
        let (machine, version) = (self.machine.as_str(), served.version);
        let kept = store
            .keep_version(machine, version.0, &served.sha256, served.document)
            .await?;
        if kept != served.sha256 {
            return Err(self.changed(version, kept, served.sha256));
        }
        info!("AppConfig: {machine} version {version} is published, sha256 {kept}");
        store.learnt_graph(machine, version).await?;
        Ok(())
    }

    async fn take_routing(&self, store: &Store) -> Result<(), NotTaken> {
        let Routing { revision, active, .. } = self.routing().await?;
        let activation = Activation {
            revision,
            shares: active,
        };
        match store.follow(self.machine.as_str(), activation, "appconfig").await? {
            Adoption::Taken => info!("AppConfig: what is born of {} follows routing {revision}", self.machine),
            Adoption::Known => {}
            Adoption::Refused(cause) => return Err(self.not_followed(revision, cause)),
        }
        Ok(())
    }

    /// What is wrong with what is served; nothing is written. Answers the served version and the routing's revision.
    pub async fn look(&self, store: &Store) -> Result<(GraphVersion, u32), NotTaken> {
        let served = self.graph().await?;
        self.compare(store, &served).await?;
        let routing = self.routing().await?;
        let published = store.published_versions(self.machine.as_str()).await?;
        let is_known = |version| version == served.version || published.iter().any(|(known, ..)| *known == version);
        if let Some(unknown) = routing.active.iter().find(|share| !is_known(share.version)) {
            return Err(self.not_followed(routing.revision, NotActivated::Unpublished(unknown.version)));
        }
        Ok((served.version, routing.revision))
    }

    async fn graph(&self) -> Result<Served, NotTaken> {
        let profile = self.profile();
        let malformed = |cause: String| NotTaken::Malformed {
            profile: profile.clone(),
            cause,
        };
        let document = self.get(&profile).await?;
        let version = document["version"]
            .as_u64()
            .and_then(|version| u32::try_from(version).ok());
        let version = version
            .map(GraphVersion)
            .ok_or_else(|| malformed("it has no version".to_owned()))?;
        let machine = &self.machine;
        let graph =
            read_graph(machine.as_str(), version, document.clone()).map_err(|error| malformed(error.to_string()))?;
        if graph.machine() != machine {
            return Err(malformed(format!("it is of {}, expected {machine}", graph.machine())));
        }
        Ok(Served {
            version,
            sha256: sha256_of(&document),
            document,
        })
    }

    async fn routing(&self) -> Result<Routing, NotTaken> {
        let profile = format!("{}-routing", self.profile());
        let malformed = |cause: String| NotTaken::Malformed {
            profile: profile.clone(),
            cause,
        };
        let routing: Routing =
            serde_json::from_value(self.get(&profile).await?).map_err(|error| malformed(error.to_string()))?;
        let sum: u64 = routing.active.iter().map(|share| u64::from(share.weight)).sum();
        let distinct = routing.active.first().map(|share| share.version) != routing.active.get(1).map(|it| it.version);
        if routing.machine != self.machine.as_str() || routing.revision == 0 {
            return Err(malformed(format!("expected a revision of {} from 1", self.machine)));
        }
        if !(1..=2).contains(&routing.active.len()) || sum != 100 || !distinct {
            return Err(malformed(
                "expected one or two versions whose weights sum up to 100".to_owned(),
            ));
        }
        Ok(routing)
    }

    async fn get(&self, profile: &str) -> Result<Json, NotTaken> {
        let failed = |cause: String| NotTaken::Unreachable {
            profile: profile.to_owned(),
            cause,
        };
        let url = format!("{}/configurations/{profile}", self.environment);
        let answer = self.http.get(url).send().await;
        let mut answer = answer.map_err(|error| failed(chain(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(failed(format!("the agent answered {}", answer.status())));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| failed(chain(&error)))? {
            body.extend_from_slice(&part);
            if body.len() > LARGEST {
                return Err(failed(format!("it is larger than {LARGEST} bytes")));
            }
        }
        serde_json::from_slice(&body).map_err(|error| NotTaken::Malformed {
            profile: profile.to_owned(),
            cause: error.to_string(),
        })
    }

    /// Whether the database has this version; refused if it has another one by that number.
    async fn compare(&self, store: &Store, served: &Served) -> Result<bool, NotTaken> {
        let published = store.published_versions(self.machine.as_str()).await?;
        match published.into_iter().find(|(version, ..)| *version == served.version) {
            Some((version, kept, ..)) if kept != served.sha256 => {
                Err(self.changed(version, kept, served.sha256.clone()))
            }
            found => Ok(found.is_some()),
        }
    }

    fn changed(&self, version: GraphVersion, kept: String, found: String) -> NotTaken {
        NotTaken::Changed {
            machine: self.machine.clone(),
            version,
            kept,
            found,
        }
    }

    fn not_followed(&self, revision: u32, cause: NotActivated) -> NotTaken {
        NotTaken::NotFollowed {
            machine: self.machine.clone(),
            revision,
            cause,
        }
    }
}

fn chain(error: &reqwest::Error) -> String {
    let mut told = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}
