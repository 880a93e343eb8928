//! The change-set gate: what CloudFormation is about to do to the stack must not touch what is published.
//!
//! CloudFormation itself would replace an edited version without a question, and its stack policy protects only stacks
//! that have one. The gate reads the answer of `describe-change-set` before `execute-change-set` is called.

use std::io::Write;

use serde::Deserialize;

use super::{GraphCommandError, Verdict};

const VERSION: &str = "AWS::AppConfig::HostedConfigurationVersion";
/// What holds all versions: gone or replaced, nothing finds them any more.
const FRAME: [&str; 2] = ["AWS::AppConfig::Application", "AWS::AppConfig::ConfigurationProfile"];

#[derive(Deserialize)]
struct ChangeSet {
    #[serde(rename = "Changes")]
    changes: Vec<Change>,
    /// There is more than this page holds.
    #[serde(rename = "NextToken")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(rename = "ResourceChange")]
    resource: ResourceChange,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceChange {
    action: String,
    logical_resource_id: String,
    resource_type: String,
    replacement: Option<String>,
}

impl ResourceChange {
    /// `DeliveryGraphV2`: by the rule that `graph check` keeps, only published versions are named so.
    fn is_published_version(&self) -> bool {
        let number = self.logical_resource_id.rsplit_once("GraphV").map(|(_, number)| number);
        self.resource_type == VERSION
            && number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }

    fn is_routing(&self) -> bool {
        self.resource_type == VERSION && !self.is_published_version()
    }

    fn is(&self, action: &str) -> bool {
        self.action == action
    }

    /// Why it must not happen.
    fn objection(&self, retire: &[String]) -> Option<&'static str> {
        let named = retire.contains(&self.logical_resource_id);
        let published = self.is_published_version();
        if published && self.is("Remove") && !named {
            Some("a version is retired by name: give --retire when `waybill graph show` counts no live order on it")
        } else if published && !self.is("Add") && !self.is("Remove") {
            Some("a published version is never edited: take the edit back and add the next version")
        } else if self.is_routing() && self.is("Remove") {
            Some("without a routing document no order can be born")
        } else if FRAME.contains(&self.resource_type.as_str())
            && (self.is("Remove") || self.replacement.as_deref() == Some("True"))
        {
            Some("the versions are in it")
        } else {
            None
        }
    }
}

/// Judges a change set, as JSON of `aws cloudformation describe-change-set`: bad if it edits a published version, removes one
/// that is not in `retire`, takes the frame away, or publishes and activates in one go.
pub fn gate(change_set: &str, retire: &[String], out: &mut dyn Write) -> Result<Verdict, GraphCommandError> {
    let read: ChangeSet =
        serde_json::from_str(change_set).map_err(|error| GraphCommandError::ChangeSet(error.to_string()))?;
    if read.next.is_some() {
        let detail = "it has a NextToken, so this is only its first page: let the AWS CLI join the pages";
        return Err(GraphCommandError::ChangeSet(detail.to_owned()));
    }
    let mut good = true;
    for Change { resource } in &read.changes {
        let objection = resource.objection(retire);
        good &= objection.is_none();
        let sign = if objection.is_some() { "refused" } else { "ok" };
        write!(out, "{sign:<8} {:<7} {}", resource.action, resource.logical_resource_id)?;
        writeln!(out, "{}", objection.map_or_else(String::new, |why| format!(": {why}")))?;
    }
    let all = || read.changes.iter().map(|change| &change.resource);
    let publishes = all().any(|resource| resource.is_published_version() && resource.is("Add"));
    if publishes && all().any(|resource| resource.is_routing() && resource.is("Modify")) {
        good = false;
        writeln!(
            out,
            "refused  publishing and activating are two changes: only the second one can be rolled back"
        )?;
    }
    Ok(if good { Verdict::Good } else { Verdict::Bad })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn change(action: &str, id: &str, kind: &str) -> Value {
        json!({"Type": "Resource", "ResourceChange": {"Action": action, "LogicalResourceId": id, "ResourceType": format!("AWS::AppConfig::{kind}")}})
    }

    fn judge(changes: Vec<Value>, retire: &[&str]) -> (Verdict, String) {
        let mut out = Vec::new();
        let retire: Vec<String> = retire.iter().map(|&id| id.to_owned()).collect();
        let verdict = gate(&json!({ "Changes": changes }).to_string(), &retire, &mut out).unwrap();
        (verdict, String::from_utf8(out).unwrap())
    }

    const HCV: &str = "HostedConfigurationVersion";

    #[test]
    fn a_new_version_passes_and_so_does_a_new_routing() {
        let publish = vec![
            change("Add", "DeliveryGraphV2", HCV),
            change("Modify", "GraphPublication", "Deployment"),
        ];
        let activate = vec![
            change("Modify", "DeliveryGraphRouting", HCV),
            change("Modify", "RoutingRollout", "Deployment"),
        ];

        assert_eq!(judge(publish, &[]).0, Verdict::Good);
        assert_eq!(judge(activate, &[]).0, Verdict::Good);
    }

    #[test]
    fn an_edited_version_is_refused_whatever_else_is_in_the_set() {
        let (verdict, said) = judge(
            vec![
                change("Add", "DeliveryGraphV3", HCV),
                change("Modify", "DeliveryGraphV1", HCV),
            ],
            &["DeliveryGraphV1"],
        );

        assert_eq!(verdict, Verdict::Bad);
        assert_eq!(
            said,
            "ok       Add     DeliveryGraphV3\nrefused  Modify  DeliveryGraphV1: a published version is never edited: take the edit back and add the next version\n"
        );
    }

    #[test]
    fn a_version_goes_only_by_its_name() {
        let gone = || vec![change("Remove", "DeliveryGraphV1", HCV)];

        assert_eq!(judge(gone(), &[]).0, Verdict::Bad);
        assert_eq!(judge(gone(), &["DeliveryGraphV2"]).0, Verdict::Bad);
        assert_eq!(judge(gone(), &["DeliveryGraphV1"]).0, Verdict::Good);
    }

    #[test]
    fn publishing_and_activating_at_once_is_refused() {
        let (verdict, said) = judge(
            vec![
                change("Add", "DeliveryGraphV2", HCV),
                change("Modify", "DeliveryGraphRouting", HCV),
            ],
            &[],
        );

        assert_eq!(verdict, Verdict::Bad);
        assert!(said.contains("two changes"), "{said}");
    }

    #[test]
    fn the_frame_and_the_routing_stay() {
        for (id, kind) in [
            ("Application", "Application"),
            ("GraphProfile", "ConfigurationProfile"),
            ("DeliveryGraphRouting", HCV),
        ] {
            assert_eq!(judge(vec![change("Remove", id, kind)], &[]).0, Verdict::Bad, "{id}");
        }
    }

    #[test]
    fn what_is_no_change_set_or_only_a_part_of_one_is_an_error() {
        for text in ["{}", "nonsense", r#"{"Changes": [], "NextToken": "more"}"#] {
            assert!(gate(text, &[], &mut Vec::new()).is_err(), "{text}");
        }
    }
}
