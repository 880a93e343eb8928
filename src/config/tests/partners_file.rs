use chrono::TimeDelta;
use waybill_tasks::partner::StrategyName;

use super::*;

const GOOD: &str = "
default: acme
receiving: {trusted_proxies: [10.0.0.0/8], rejections_per_minute: 30, callbacks_per_minute: 600, visits_per_minute: 60}
routing:
  - {countries: [DE], pieces_at_most: 20, partners: [acme]}
  - price_class: {currency: EUR, at_least: 10000, below: 50000}
    partners: [acme, other]
    strategy: cheapest_quote
partners:
  acme:
    adapter: standard
    addresses: [192.0.2.0/24, '2001:db8::1']
    base_url: https://acme.example
    credentials: {bearer: hunter2}
    tolerance_ms: 60000
    rate: {per_second: 10}
    secrets:
      - {id: '2026-11', value: whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD}
      - {id: '2026-10', file: old-secret}
  other:
    adapter: standard
    base_url: https://other.example
    prices: [{countries: [DE], pieces_at_most: 3, minor_units: 490, currency: EUR, minutes: 1440}]
    secrets: [{id: k, value: whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=}]
";

/// Writes a good file, with the secret that it names.
pub(super) fn write(folder: &Path) {
    write_text(folder, GOOD);
}

fn write_text(folder: &Path, text: &str) {
    std::fs::write(folder.join("partners.yaml"), text).unwrap();
    std::fs::write(folder.join("old-secret"), "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\n").unwrap();
}

fn load_file(text: &str) -> Result<Settings, SettingsError> {
    let folder = folder();
    write_text(folder.path(), text);
    load(folder.path(), Role::Show, &[("WAYBILL_PARTNERS", "partners.yaml")])
}

fn refusal(text: &str) -> String {
    let line = load_file(text).map(|_| ()).unwrap_err().to_string();
    assert!(!line.contains("hunter2") && !line.contains('\n'), "{line}");
    let end = line.find("partners.yaml\" with ").unwrap_or_else(|| panic!("{line}"));
    line[end + "partners.yaml\" with ".len()..].to_owned()
}

#[test]
fn a_partners_file_is_read_whole() {
    let settings = load_file(GOOD).unwrap();

    let Some(Partners::File(file)) = settings.partners else {
        panic!("a file was given")
    };
    assert_eq!(file.calls.default, "acme");
    assert_eq!(file.calls.partners.keys().collect::<Vec<_>>(), ["acme", "other"]);
    assert_eq!(file.calls.partners["acme"].base_url, "https://acme.example");
    assert_eq!(file.adapters["other"], waybill_webhooks::Adapter::Standard);
    let (ids, tolerance) = file.keys.describe("acme").unwrap();
    assert_eq!(ids, ["2026-11", "2026-10"]);
    assert_eq!(tolerance, TimeDelta::seconds(60));
    assert_eq!(file.keys.describe("other").unwrap().1, TimeDelta::seconds(300));
    assert_eq!(file.receiving.rejections_per_minute.get(), 30);
    assert_eq!(file.receiving.callbacks_per_minute.get(), 600);
    assert_eq!(file.receiving.visits_per_minute.get(), 60);
    assert_eq!(file.receiving.trusted_proxies.len(), 1);
    let [first, second] = &*file.calls.routing else {
        panic!("two rules")
    };
    assert_eq!(
        (first.strategy, second.strategy),
        (StrategyName::FirstFit, StrategyName::CheapestQuote)
    );
    let class = second.price_class.as_ref().unwrap();
    assert_eq!(
        (class.currency.as_str(), class.at_least, class.below),
        ("EUR", 10_000, Some(50_000))
    );
    let price = &file.calls.partners["other"].prices[0];
    assert_eq!((price.minor_units, price.takes.unwrap().as_secs()), (490, 86_400));
}

#[test]
fn json_is_taken_as_well() {
    let text = r#"{"default": "a", "partners": {"a": {"adapter": "standard", "base_url": "https://a.example",
                   "secrets": [{"id": "k", "value": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}]}}}"#;

    assert!(load_file(text).is_ok());
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_without_its_value() {
    for (from, to, line) in [
        (
            "default: acme",
            "default: nobody",
            "\"nobody\" at default given, expected one of the partners: acme, other",
        ),
        (
            "default: acme",
            "",
            "missing field default given, expected what the documentation says",
        ),
        (
            "adapter: standard\n    base_url: https://other",
            "base_url: https://other",
            "nothing at partners.other.adapter given, expected one of: standard, aftership, doordash, easypost, lalamove, onfleet, sendcloud, shippo, stuart, uber",
        ),
        (
            "adapter: standard",
            "adapter: morse",
            "\"morse\" at partners.acme.adapter given, expected one of: standard, aftership, doordash, easypost, lalamove, onfleet, sendcloud, shippo, stuart, uber",
        ),
        (
            "  other:",
            "  Other One:",
            "\"Other One\" at partners given, expected a name of lower case letters, digits, - and _, at most 63",
        ),
        (
            "192.0.2.0/24",
            "everywhere",
            "\"everywhere\" at partners.acme.addresses[0] given, expected an address, or a network such as 192.0.2.0/24",
        ),
        (
            "rejections_per_minute",
            "rejections_per_hour",
            "unknown field rejections_per_hour at receiving.rejections_per_hour given, expected one of trusted_proxies, rejections_per_minute, callbacks_per_minute, visits_per_minute",
        ),
        (
            "{bearer: hunter2}",
            "{bearer: [hunter2]}",
            "sequence at partners.acme.credentials.bearer given, expected a string",
        ),
        (
            "{bearer: hunter2}",
            "{baerer: hunter2}",
            "unknown field baerer at partners.acme.credentials.baerer given, expected one of bearer, bearer_file, key, key_file, secret, secret_file, account, token_url",
        ),
        (
            "{per_second: 10}",
            "{per_second: -10}",
            "integer at partners.acme.rate.per_second given, expected u32",
        ),
        (
            "60000",
            "1",
            "1 at partners.acme.tolerance_ms given, expected a whole number from 1000 to 3600000",
        ),
        (
            "value: whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "value: hunter2hunter2",
            "a secret that starts neither with whsec_ (shared secret) nor with whpk_ (public key) at partners.acme.secrets[0] given, expected a webhook secret",
        ),
        (
            "value: whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "value: 12345",
            "integer at partners.acme.secrets[0].value given, expected a string",
        ),
        (
            "value: whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "",
            "neither value nor file at partners.acme.secrets[0] given, expected one of them",
        ),
        (
            "file: old-secret",
            "file: old-secret, value: hunter2",
            "both value and file at partners.acme.secrets[1] given, expected one of them",
        ),
        (
            "file: old-secret",
            "file: nowhere",
            "\"nowhere\" (No such file or directory (os error 2)) at partners.acme.secrets[1].file given, expected a file that holds the secret",
        ),
        (
            "'2026-10'",
            "'2026-11'",
            "partner acme has two webhook secrets with the id 2026-11 at partners given, expected 1 to 4 secrets each",
        ),
        (
            "'2026-10'",
            "'a b'",
            "\"a b\" at partners.acme.secrets[1].id given, expected 1 to 64 letters, digits, dots, - and _",
        ),
        (
            "partners:\n",
            "partners: {}\nx:\n",
            "something else at partners given, expected the partners by name, at least one",
        ),
        (
            "default: acme",
            "default: acme\ndefault: other",
            "a key for the second time in line 3 given, expected the partners file in YAML or JSON",
        ),
    ] {
        assert_eq!(refusal(&GOOD.replacen(from, to, 1)), line);
    }
    assert_eq!(
        refusal(""),
        "an empty file given, expected the partners file in YAML or JSON"
    );
}

#[test]
fn a_partner_without_secret_would_never_be_believed() {
    let end = GOOD.find("    secrets: [{id: k").unwrap();

    assert_eq!(
        refusal(&GOOD[..end]),
        "nothing at partners.other.secrets given, expected the webhook secrets: [{id, value}] or [{id, file}]"
    );
}

#[test]
fn a_partners_file_that_is_not_there_is_named() {
    let folder = folder();

    let refusal = load(folder.path(), Role::Show, &[("WAYBILL_PARTNERS", "nowhere.yaml")])
        .unwrap_err()
        .to_string();

    assert!(refusal.ends_with("nowhere.yaml\" with No such file or directory (os error 2) given, expected the partners file in YAML or JSON"), "{refusal}");
}

#[test]
fn every_language_is_known_on_both_sides() {
    for adapter in waybill_webhooks::Adapter::ALL {
        let name = serde_json::Value::from(adapter.as_str());

        let outbound = serde_json::from_value::<waybill_tasks::partner::settings::Adapter>(name);

        assert!(
            outbound.is_ok(),
            "{adapter:?} has no file in tasks/src/partner/adapters"
        );
    }
}

#[test]
fn secrets_are_read_as_their_partner_hands_them_out() {
    let with = |adapter: &str, secret: &str| {
        let entry = format!(
            "default: p\npartners: {{p: {{adapter: {adapter}, base_url: 'https://p.example', secrets: [{{id: k, value: '{secret}'}}]}}}}"
        );
        load_file(&entry).map(drop).map_err(|error| error.to_string())
    };

    for (adapter, secret) in [
        ("uber", "a-signing-key-of-uber"),
        ("onfleet", "00ff10aa00ff10aa00ff10aa00ff10aa"),
        ("shippo", "whtok_AAAAAAAAAAAAAAAAAAAAAAAA"),
        ("doordash", "waybill:a-long-password"),
    ] {
        assert_eq!(with(adapter, secret), Ok(()), "{adapter}");
        let refused = with(adapter, "hunter2").unwrap_err();
        assert!(
            refused.contains("a webhook secret") && !refused.contains("hunter2"),
            "{refused}"
        );
    }
}
