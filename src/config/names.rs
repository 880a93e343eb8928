//! The names of all settings, and which of them are secrets.

/// A setting's name.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// Never shown; may come from the file named by `<name>_FILE`.
    pub(super) secret: bool,
}

const fn open(name: &'static str) -> Setting {
    Setting { name, secret: false }
}

const fn secret(name: &'static str) -> Setting {
    Setting { name, secret: true }
}

/// Every setting, in the order in which they are shown.
pub(super) const SETTINGS: [Setting; 24] = [
    secret("WAYBILL_DATABASE_URL"),
    secret("WAYBILL_READ_DATABASE_URL"),
    secret("WAYBILL_BROKER_URL"),
    open("WAYBILL_HTTP_ADDR"),
    open("WAYBILL_PUBLIC_URL"),
    open("WAYBILL_GRAPH"),
    open("WAYBILL_APPCONFIG_URL"),
    open("WAYBILL_PARTNERS"),
    open("WAYBILL_QUEUE"),
    open("WAYBILL_OMS_TASK"),
    open("WAYBILL_OMS_QUEUE"),
    open("WAYBILL_NOTIFY_TASK"),
    open("WAYBILL_NOTIFY_QUEUE"),
    secret("WAYBILL_RESULT_BACKEND"),
    open("WAYBILL_HANDOVER_CODE"),
    open("WAYBILL_WEBHOOK_NETWORKS"),
    open("WAYBILL_WEBHOOK_TIMEOUT_SECONDS"),
    open("WAYBILL_JWT_ISSUER"),
    open("WAYBILL_JWT_AUDIENCE"),
    open("WAYBILL_JWT_JWKS_URL"),
    secret("WAYBILL_JWT_KEY"),
    secret("WAYBILL_DATA_KEY"),
    open("WAYBILL_LOG"),
    open("WAYBILL_LOG_FORMAT"),
];

/// Names that tests and benches use for themselves.
const FOREIGN: [&str; 3] = ["WAYBILL_TEST_", "WAYBILL_BENCH_", "WAYBILL_ACCEPT"];

/// Whether a variable claims to be a setting of ours.
pub(super) fn is_ours(variable: &str) -> bool {
    variable.starts_with("WAYBILL_") && !FOREIGN.iter().any(|prefix| variable.starts_with(prefix))
}

/// The setting that a variable sets, and whether it names a file that holds the value.
pub(super) fn find(variable: &str) -> Option<(&'static Setting, bool)> {
    let named = |name: &str| SETTINGS.iter().find(|setting| setting.name == name);
    let from_file = || {
        variable
            .strip_suffix("_FILE")
            .and_then(named)
            .filter(|setting| setting.secret)
    };
    named(variable)
        .map(|setting| (setting, false))
        .or_else(|| from_file().map(|setting| (setting, true)))
}

/// The name that was probably meant, if one is near enough.
pub(super) fn find_near(variable: &str) -> Option<&'static str> {
    let stem = |name: &str| name.strip_prefix("WAYBILL_").unwrap_or(name).to_ascii_uppercase();
    let given = stem(variable.strip_suffix("_FILE").unwrap_or(variable));
    let distance = |setting: &Setting| edit_distance(&given, &stem(setting.name));
    let nearest = SETTINGS
        .iter()
        .min_by_key(|setting| distance(setting))
        .filter(|setting| distance(setting) <= 1 + given.len() / 4);
    let part_of = || {
        let (begin, end) = (format!("{given}_"), format!("_{given}"));
        let has = |name: &str| !given.is_empty() && (name.starts_with(&begin) || name.ends_with(&end));
        SETTINGS.iter().find(|setting| has(&stem(setting.name)))
    };
    nearest.or_else(part_of).map(|setting| setting.name)
}

/// How many letters must be put in, taken out or changed to come from one word to the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for column in 0..to.len() {
            let changed = diagonal + usize::from(letter != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_words_is_the_fewest_changes() {
        for (from, to, distance) in [
            ("", "", 0),
            ("", "AB", 2),
            ("AB", "", 2),
            ("KITTEN", "SITTING", 3),
            ("LOG", "LOG", 0),
        ] {
            assert_eq!(edit_distance(from, to), distance, "{from} {to}");
        }
    }

    #[test]
    fn only_secrets_come_from_files() {
        assert!(
            find("WAYBILL_DATA_KEY_FILE").is_some_and(|(setting, file)| setting.name == "WAYBILL_DATA_KEY" && file)
        );
        assert!(find("WAYBILL_HTTP_ADDR_FILE").is_none());
    }
}
