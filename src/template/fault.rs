//! Faults: what is wrong with a template, at which line and column, and which rule it breaks.

use std::fmt;

use waybill_domain::{Defect, rules};

rules! {
    /// Which rule a template breaks, beside those that a graph itself may break.
    TemplateRule {
        NotUtf8 = "not-utf-8" "A template is text in UTF-8.";
        FileTooLarge = "file-too-large" "A template has at most a mebibyte, which is what CloudFormation and AppConfig take.";
        NotYaml = "not-yaml" "A template is YAML.";
        EmptyFile = "empty-file" "A template is not empty.";
        SecondDocument = "second-document" "A file holds one YAML document.";
        TooDeep = "too-deep" "Nothing is nested deeper than 64 levels.";
        Anchor = "anchor" "Nothing is an anchor: CloudFormation refuses what anchors are for.";
        Alias = "alias" "Nothing is an alias: the value itself is written, so that no input grows when it is read.";
        MergeKey = "merge-key" "No mapping is merged into another one.";
        DuplicateKey = "duplicate-key" "A mapping has each key once.";
        KeyNotText = "key-not-text" "A key is text.";
        NullValue = "null-value" "Nothing inside a graph is null.";
        AmbiguousScalar = "ambiguous-scalar" "A word that YAML 1.1 and 1.2 read differently is in quotes inside a graph.";
        TagInGraph = "tag-in-graph" "A graph is plain data, without tags and intrinsic functions.";
        NotATemplate = "not-a-template" "The file is a CloudFormation template with resources.";
        NoGraph = "no-graph" "Some resource has `Metadata.StateMachineGraph`.";
        WrongResourceType = "wrong-resource-type" "A graph is an `AWS::AppConfig::HostedConfigurationVersion`.";
        NotStructured = "not-structured" "The content is `Fn::ToJsonString` around a mapping, so that the graph stays structured.";
        WrongShape = "wrong-shape" "A mapping has the keys and the types of values that the language knows.";
        MetadataDiffers = "metadata-differs" "The metadata names the machine and the version of the content.";
        LabelDiffers = "label-differs" "The version label ends with `-v` and the version.";
        PublishedTwice = "published-twice" "A version of a machine is published once.";
        NoRouting = "no-routing" "A machine with several versions has a routing.";
        RoutingTwice = "routing-twice" "A machine has one routing.";
        RoutingRevision = "routing-revision" "The revision of a routing is counted from 1.";
        RoutingVersionUnknown = "routing-version-unknown" "A version that is live is in the template.";
        RoutingVersionTwice = "routing-version-twice" "A routing names a version once in each list.";
        ActiveNotLive = "active-not-live" "A version that new orders are born with is live.";
        TooManyActive = "too-many-active" "New orders are born with one or two versions.";
        WeightsNotHundred = "weights-not-hundred" "The weights of a routing add up to 100.";
        VersionChanged = "version-changed" "A published version is what the lock file says: it is never edited.";
        VersionLost = "version-lost" "A version that is live in the lock file is still in the template.";
        VersionUnlocked = "version-unlocked" "A published version is in the lock file.";
    }
}

/// A place in a file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Position {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Where a file goes on after `text`.
    pub(super) fn after(text: &str) -> Self {
        let last = text.rsplit('\n').next().unwrap_or_default();
        Self {
            line: text.matches('\n').count() + 1,
            column: last.chars().count() + 1,
        }
    }
}

impl From<saphyr_parser::Marker> for Position {
    fn from(marker: saphyr_parser::Marker) -> Self {
        Self {
            line: marker.line().max(1),
            column: marker.col() + 1,
        }
    }
}

/// One thing that is wrong, with what was found and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where.
    pub position: Position,
    /// The code of the rule that is broken.
    pub code: &'static str,
    /// What.
    pub message: String,
}

impl Fault {
    pub(super) fn new(position: Position, rule: TemplateRule, message: impl Into<String>) -> Self {
        Self {
            position,
            code: rule.code(),
            message: message.into(),
        }
    }

    /// A defect of a graph, with a way on which it happens as a counter-example.
    pub(super) fn of(defect: &Defect, position: Position) -> Self {
        let example = defect.way.as_ref().map(|way| format!("; for example on the way {way}"));
        Self {
            position,
            code: defect.kind.code(),
            message: format!("{defect}{}", example.unwrap_or_default()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            position,
            code,
            message,
        } = self;
        write!(f, "{}:{}: {code}: {message}", position.line, position.column)
    }
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("cannot read {name}")]
    Unreadable {
        /// Which file.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no good template; one line per fault, each `file:line:column: what`.
    #[error("{}", lines(name, faults))]
    Faulty {
        /// Which file.
        name: String,
        /// Everything that is wrong with it, by position; never empty.
        faults: Vec<Fault>,
    },
}

impl TemplateError {
    pub(super) fn faulty(name: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Self::Faulty {
            name: name.to_owned(),
            faults,
        }
    }
}

fn lines(name: &str, faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("{name}:{fault}")).collect();
    lines.join("\n")
}
